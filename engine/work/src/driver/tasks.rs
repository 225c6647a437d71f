//! Does tasks and judges answers: of calls from their input as it is, of steps by evaluation.

use std::sync::Arc;

use althing_ledger::{Execution, Origin};
use althing_types::{BlobRef, Claim, Doubt, Hash, Name, Opinion, Outcome, StepInput, tagged};

use super::Ports;
use super::chores::{run_task, run_verify};
use super::files::Files;
use super::steps::{Evaluated, Steps, Stopped};
use crate::conduct::Finding;
use crate::port::{Assignment, LedgerAccess};
use crate::runtime::{TaskRun, Unfinished, VerifyRun};
use crate::{Input, JobId, Unusable, Work};

/// What is to be done for a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// The task of a call.
    Task,
    /// The judgement of a call's answer.
    Verify,
    /// Either, for a step of a run.
    Step(Work),
}

pub(super) struct Tasks<L> {
    pub(super) ports: Ports<L>,
    pub(super) files: Arc<Files<L>>,
    pub(super) steps: Steps<L>,
}

impl<L: LedgerAccess> Tasks<L> {
    /// Which payloads a step reads, if that can be told without waiting for the disk.
    pub(super) fn survey_at_once(
        &self,
        execution: &Execution,
    ) -> Option<Result<Vec<BlobRef>, Unusable>> {
        let Origin::Step(input) = &execution.origin else { return None };
        self.steps.survey_at_once(input)
    }

    /// Which payloads a step reads.
    pub(super) fn survey(&self, execution: &Execution) -> Result<Vec<BlobRef>, Unusable> {
        match &execution.origin {
            Origin::Step(input) => self.steps.survey(input),
            Origin::Call => Ok(Vec::new()),
        }
    }

    /// Does what is to be done. Where the service is in the sandbox it computes on this thread.
    pub(super) async fn run(
        self: Arc<Self>,
        job: JobId,
        execution: Box<Execution>,
        what: What,
    ) -> Input {
        match what {
            What::Task => Input::TaskDone { job, run: self.task_of_call(&execution).await },
            What::Verify => Input::VerifyDone { job, run: self.verify_of_call(&execution).await },
            What::Step(Work::Task) => {
                Input::StepDone { job, finding: self.task_of_step(execution).await }
            }
            What::Step(Work::Verify) => {
                let claim = Claim::Opinion(self.verify_of_step(execution).await);
                Input::StepDone { job, finding: Finding::bare(claim) }
            }
        }
    }

    // Calls.

    async fn task_of_call(&self, execution: &Execution) -> TaskRun {
        if !self.files.is_outside(&execution.service) {
            return run_task(&self.ports, execution);
        }
        match self.local(&execution.input) {
            Some(input) => self.task(execution, execution.id, input).await,
            None => {
                let doubt = Unfinished::Inconclusive(Doubt::InputUnavailable);
                TaskRun::not_begun(doubt, "the input is not here any more")
            }
        }
    }

    async fn verify_of_call(&self, execution: &Execution) -> VerifyRun {
        if !self.files.is_outside(&execution.service) {
            return run_verify(&self.ports, execution);
        }
        let Some((_, Outcome::Returned { status, output, .. })) = execution.answer() else {
            return VerifyRun::inconclusive("there is no answer");
        };
        let Some(input) = self.local(&execution.input) else {
            return VerifyRun::inconclusive("the input is not here any more");
        };
        let Some(bytes) = self.local(output) else {
            return VerifyRun::without_call(
                Opinion::Unavailable,
                "the output is not here any more",
            );
        };
        self.verify(execution, execution.id, input, status, bytes).await
    }

    // Steps.

    async fn task_of_step(self: &Arc<Self>, execution: Box<Execution>) -> Finding {
        let outcome = |outcome| Finding::bare(Claim::Outcome(outcome));
        let Origin::Step(step) = &execution.origin else {
            return outcome(Outcome::Inconclusive(Doubt::InputUnavailable));
        };
        let evaluated = match self.evaluate(step).await {
            Ok(evaluated) => evaluated,
            Err(stopped) => return outcome(stopped.outcome()),
        };
        let run = self.task(&execution, key(step), evaluated.input().to_vec()).await;
        let Ok(returned) = &run.result else { return Finding::of_task(run, Vec::new()) };
        match evaluated.keys(step, &returned.output) {
            Ok(keys) => Finding::of_task(run, keys),
            Err(stopped) => outcome(stopped.outcome()),
        }
    }

    /// What is asked for is whether an honest executor could have answered this: its condition, its
    /// keys and its output.
    async fn verify_of_step(self: &Arc<Self>, execution: Box<Execution>) -> Opinion {
        let (Origin::Step(step), Some((_, answer))) = (&execution.origin, execution.answer())
        else {
            return Opinion::Inconclusive;
        };
        let evaluated = match (self.evaluate(step).await, answer) {
            (Ok(evaluated), _) => evaluated,
            (Err(Stopped::Doubt(_)), _) => return Opinion::Inconclusive,
            (Err(Stopped::Declined), Outcome::Declined) => return Opinion::Valid,
            (Err(Stopped::Declined | Stopped::Failed(_)), _) => return Opinion::Invalid,
        };
        let Outcome::Returned { status, output, keys } = answer else { return Opinion::Invalid };
        let Some(bytes) = self.local(output) else { return Opinion::Unavailable };
        match evaluated.keys(step, &bytes) {
            Ok(expected) if expected == *keys => {}
            Ok(_) | Err(Stopped::Declined | Stopped::Failed(_)) => return Opinion::Invalid,
            Err(Stopped::Doubt(_)) => return Opinion::Inconclusive,
        }
        let input = evaluated.input().to_vec();
        self.verify(&execution, key(step), input, status, bytes).await.opinion
    }

    /// Off the thread if the disk has to be waited for.
    async fn evaluate(self: &Arc<Self>, step: &StepInput) -> Result<Evaluated, Stopped> {
        if self.steps.is_at_hand(step) {
            return self.steps.evaluate(step);
        }
        let (work, step) = (Arc::clone(self), step.clone());
        let evaluated = tokio::task::spawn_blocking(move || work.steps.evaluate(&step)).await;
        evaluated.unwrap_or(Err(Stopped::Doubt(Doubt::InputUnavailable)))
    }

    // Both.

    fn local(&self, blob: &BlobRef) -> Option<Vec<u8>> {
        self.ports.blobs.local(blob).ok().flatten()
    }

    async fn task(&self, execution: &Execution, key: Hash, input: Vec<u8>) -> TaskRun {
        let Execution { service, task, .. } = execution;
        let run = if self.files.is_outside(service) {
            self.ports.native.task(assignment(execution, key, input)).await
        } else {
            self.ports.runtime.task(service, task, &input)
        };
        for line in &run.log {
            tracing::debug!(execution = %execution.id, %line, "service");
        }
        run
    }

    async fn verify(
        &self,
        execution: &Execution,
        key: Hash,
        input: Vec<u8>,
        status: &Name,
        output: Vec<u8>,
    ) -> VerifyRun {
        let Execution { service, task, .. } = execution;
        let run = if self.files.is_outside(service) {
            let assignment = assignment(execution, key, input);
            self.ports.native.verify(assignment, status.clone(), output).await
        } else {
            self.ports.runtime.verify(service, task, &input, status, &output)
        };
        if run.opinion == Opinion::Invalid {
            tracing::info!(execution = %execution.id, reason = %run.reason, "an answer is refused");
        }
        run
    }
}

fn assignment(execution: &Execution, key: Hash, input: Vec<u8>) -> Assignment {
    let Execution { id, service, task, .. } = execution;
    Assignment { execution: *id, key, service: *service, task: task.clone(), input }
}

/// Equal for all attempts of a step, and on all nodes.
fn key(step: &StepInput) -> Hash {
    tagged("althing step key", &[&step.run.0, &step.step.to_be_bytes()])
}
