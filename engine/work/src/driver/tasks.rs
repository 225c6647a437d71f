//! Does tasks and judges answers: of calls from their input as it is, of steps by evaluation.

use std::sync::Arc;
use std::time::Duration;

use althing_ledger::Execution;
use althing_types::{BlobRef, Claim, Doubt, Name, Opinion, Outcome};
use tokio::time::Instant;

use super::Ports;
use super::chores::{OF_A_CALL, run_task, run_verify};
use super::files::Files;
use super::steps::{Begun, Steps};
use crate::conduct::Finding;
use crate::machine::patience_ms;
use crate::port::{Assignment, LedgerAccess, Secrets};
use crate::runtime::{TaskRun, Unfinished, VerifyRun};
use crate::{Input, JobId, Work};

/// Pause before a home is asked for secrets again; doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

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
            What::Step(work) => Input::StepDone { job, finding: self.step(execution, work).await },
        }
    }

    // Calls.

    async fn task_of_call(&self, execution: &Execution) -> TaskRun {
        if !self.files.is_outside(&execution.service) {
            return run_task(&self.ports, execution);
        }
        match self.local(&execution.input) {
            Some(input) => self.task(of_call(execution, input)).await,
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
        self.verify(of_call(execution, input), status, bytes).await
    }

    fn local(&self, blob: &BlobRef) -> Option<Vec<u8>> {
        self.ports.blobs.local(blob, OF_A_CALL).ok().flatten()
    }

    // Steps.

    async fn step(self: &Arc<Self>, execution: Box<Execution>, work: Work) -> Finding {
        let secrets = self.secrets(&execution).await;
        let begun = if self.steps.is_at_hand(&execution) {
            self.steps.begin(&execution, work, secrets)
        } else {
            // Off the thread: the disk has to be waited for.
            let tasks = Arc::clone(self);
            let begin = move || tasks.steps.begin(&execution, work, secrets);
            match tokio::task::spawn_blocking(begin).await {
                Ok(begun) => begun,
                Err(_) => return Finding::bare(unknown(work)),
            }
        };
        match begun {
            Begun::Known(finding) => finding,
            Begun::Run(to_run) => {
                let run = self.task(to_run.assignment.clone()).await;
                to_run.finish(run)
            }
            Begun::Judge(to_judge) => {
                let assignment = to_judge.assignment.clone();
                let run = self.verify(assignment, &to_judge.status, to_judge.output.clone()).await;
                to_judge.finish(&run)
            }
        }
    }

    /// What the step is given by its application's owner. The home may be a block behind and not know
    /// of the draw yet, or be away for a moment: it is asked again while there is time.
    async fn secrets(self: &Arc<Self>, execution: &Execution) -> Secrets {
        if self.steps.is_forgotten(execution) {
            // Compiled again, off the thread: whether there are secrets is in the document.
            let (tasks, execution) = (Arc::clone(self), Box::new(execution.clone()));
            let survey = move || tasks.steps.survey(&execution).map(drop);
            tokio::task::spawn_blocking(survey).await.ok();
        }
        let Some(home) = self.steps.home_of_secrets(execution) else { return Secrets::default() };
        let now = self.ports.ledger.newest().map_or(execution.due, |newest| newest.time);
        let until = Instant::now() + Duration::from_millis(patience_ms(execution, now));
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(secrets) = self.ports.vault.secrets(execution.id, home).await {
                return secrets;
            }
            if Instant::now() + pause >= until {
                return Secrets::default();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    // Both.

    async fn task(&self, assignment: Assignment) -> TaskRun {
        let (execution, service) = (assignment.execution, assignment.service);
        let is_secret = assignment.is_secret;
        let mut run = if self.files.is_outside(&service) {
            self.ports.native.task(assignment).await
        } else {
            self.ports.runtime.task(&service, &assignment.task, &assignment.input)
        };
        if is_secret {
            // A service may say what it was given, and so may whoever finds fault with that.
            run.log.clear();
        }
        for line in &run.log {
            tracing::debug!(%execution, %line, "service");
        }
        run
    }

    async fn verify(&self, assignment: Assignment, status: &Name, output: Vec<u8>) -> VerifyRun {
        let (execution, service) = (assignment.execution, assignment.service);
        let run = if self.files.is_outside(&service) {
            self.ports.native.verify(assignment, status.clone(), output).await
        } else {
            let Assignment { task, input, .. } = &assignment;
            self.ports.runtime.verify(&service, task, input, status, &output)
        };
        if run.opinion == Opinion::Invalid {
            tracing::info!(%execution, reason = %run.reason, "an answer is refused");
        }
        run
    }
}

/// What a node claims that could not evaluate a step.
const fn unknown(work: Work) -> Claim {
    match work {
        Work::Task => Claim::Outcome(Outcome::Inconclusive(Doubt::InputUnavailable)),
        Work::Verify => Claim::Opinion(Opinion::Inconclusive),
    }
}

/// A call has its effects under its own id.
fn of_call(execution: &Execution, input: Vec<u8>) -> Assignment {
    let Execution { id, service, task, created_at: since, .. } = execution;
    let (service, task, since) = (*service, task.clone(), *since);
    Assignment { execution: *id, key: *id, since, service, task, input, is_secret: false }
}
