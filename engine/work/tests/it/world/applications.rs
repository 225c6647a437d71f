//! Applications in a small world: deployed by the payer, started by events that node 0 observes.

use std::collections::BTreeMap;
use std::sync::Arc;

use althing_application::{ApplicationFile, Catalogue, Compiled};
use althing_ledger::{Execution, RunRecord, query};
use althing_manifest::Schemas;
use althing_state::MemoryState;
use althing_types::{
    ApplicationTerms, BlobRef, Deploy, EndpointId, Hash, Height, Operation, StepStatus, TimeMs,
    Visibility, application_id, event_key, tagged,
};
use althing_work::driver::steps::{Begun, Steps};
use althing_work::port::{Blobs, BoxFuture, LedgerAccess, Newest, PortError, Secrets};
use althing_work::runtime::Runtime as _;
use althing_work::{Finding, Work};
use serde_json::Value as Json;

use super::{CHAIN, HOME, PAYER, World, manifest, name, tokens};

/// The state as it is at this moment.
pub(crate) struct Frozen(MemoryState, Height, TimeMs);

impl LedgerAccess for Frozen {
    type Snapshot = MemoryState;
    fn newest(&self) -> Result<Newest<MemoryState>, PortError> {
        Ok(Newest { state: self.0.clone(), height: self.1, time: self.2 })
    }
}

/// A node's files as they are at this moment.
struct Files(BTreeMap<Hash, Vec<u8>>);

impl Blobs for Files {
    fn local(&self, blob: &BlobRef, _of: &[Hash]) -> Result<Option<Vec<u8>>, PortError> {
        Ok(self.0.get(&blob.hash).cloned())
    }
    fn keep(&self, _: &[u8]) -> Result<(), PortError> {
        unreachable!("evaluating a step keeps nothing")
    }
    fn fetch(&self, _: BlobRef, _: EndpointId, _: Option<Hash>) -> BoxFuture<Option<Vec<u8>>> {
        unreachable!("evaluating a step fetches nothing")
    }
}

/// An application of these steps, indented by two; it starts with the event `asked`.
pub(crate) fn application(when: &str, steps: &str) -> Compiled {
    let text = format!(
        "app: app\nversion: 1.0.0\nservices: {{ test: acme/test@1 }}\nwhen: {when}\nthen:\n{steps}"
    );
    let mut catalogue = Catalogue::default();
    catalogue.add_service(manifest("acme/test@1.0.0"));
    let file = ApplicationFile::parse("app.yaml", &text).expect("tests write files well");
    file.check(&catalogue, &serde_json::Map::new()).expect("tests write files well").compiled
}

impl World {
    pub(super) fn steps(&self, index: usize) -> Steps<Frozen> {
        let (state, height, time) = self.newest();
        let files = Files(self.nodes[index].blobs.clone());
        Steps::new(Arc::new(Frozen(state, height, time)), Arc::new(files))
    }

    pub(super) fn run_step(
        &self,
        index: usize,
        execution: &Execution,
        work: Work,
    ) -> (Finding, u64) {
        let runtime = &self.nodes[index].runtime;
        match self.steps(index).begin(execution, work, Secrets::default()) {
            Begun::Known(finding) => (finding, 0),
            Begun::Run(to_run) => {
                let asked = &to_run.assignment;
                let run = runtime.task(&asked.service, &asked.task, &asked.input);
                let duration_us = run.duration_us;
                (to_run.finish(run), duration_us)
            }
            Begun::Judge(to_judge) => {
                let (asked, status) = (&to_judge.assignment, &to_judge.status);
                let (service, task) = (&asked.service, &asked.task);
                let run = runtime.verify(service, task, &asked.input, status, &to_judge.output);
                (to_judge.finish(&run), run.duration_us)
            }
        }
    }

    /// The key under which a node has the effects of a step, if it can evaluate the step.
    pub(crate) fn key_of_step(&self, index: usize, execution: &Execution) -> Option<Hash> {
        match self.steps(index).begin(execution, Work::Task, Secrets::default()) {
            Begun::Run(to_run) => Some(to_run.assignment.key),
            Begun::Known(_) | Begun::Judge(_) => None,
        }
    }

    /// Deploys for the payer, whose node has the document; `change` may make other terms of it.
    pub(crate) fn deploy(
        &mut self,
        compiled: &Compiled,
        change: impl Fn(&mut ApplicationTerms),
    ) -> Hash {
        let document = compiled.blob();
        self.home.insert(document.hash, compiled.document().to_vec());
        let mut terms = ApplicationTerms {
            alias: "payer/app@1.0.0".parse().expect("tests write valid aliases"),
            document,
            home: HOME,
            visibility: Visibility::Private(Vec::new()),
            plan: compiled.plan().clone(),
        };
        change(&mut terms);
        let deploy = Deploy { terms: terms.into(), deposit: tokens(10_000), replaces: None };
        self.pay(vec![Operation::Deploy(deploy)]);
        self.pass();
        let id = application_id(&PAYER, &document.hash);
        query::application(&self.state, &id).expect("memory can be read").expect("it is deployed");
        id
    }

    /// Node 0 observes an event `asked`; gives the run of `application` that it starts.
    pub(crate) fn ask(&mut self, application: &Hash, data: &Json) -> Hash {
        let manifest = manifest("acme/test@1.0.0");
        let schemas = Schemas::compile(&manifest).expect("tests write schemas well");
        let event = manifest.event(&name("asked")).expect("the manifest has it");
        let (observe, bytes) =
            event.split(&schemas, self.service, "", data).expect("tests write events well");
        let key = event_key(&self.service, &observe.event, &observe.id);
        let now_ms = self.now_ms();
        let node = &mut self.nodes[0];
        node.blobs.insert(BlobRef::of(&bytes).hash, bytes);
        node.outbox.push(Operation::Observe(observe), now_ms).expect("there is room");
        tagged("althing run", &[&CHAIN.0.to_be_bytes(), &application.0, &key.0])
    }

    /// Passes time until a run has ended.
    pub(crate) fn finished(&mut self, run: &Hash, blocks: usize) -> RunRecord {
        for _ in 0..blocks {
            if let Some(record) = self.runs.get(run) {
                return record.clone();
            }
            self.pass();
        }
        panic!("open after {blocks} blocks: {:?}", self.run(run));
    }

    /// An open run.
    pub(crate) fn run(&self, run: &Hash) -> Option<RunRecord> {
        query::run(&self.state, run).expect("memory can be read")
    }
}

/// How each step of a run ended.
pub(crate) fn statuses(record: &RunRecord) -> Vec<Option<StepStatus>> {
    let steps = (0..).take(record.run.steps.len());
    steps.map(|step| record.run.ending(step).map(|ending| ending.status.clone())).collect()
}
