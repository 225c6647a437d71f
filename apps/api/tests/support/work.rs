//! What the node in memory tells of applications, and what it does for programs.

use std::time::Duration;

use althing_api::{
    Answer, ApplicationKey, Applications, Cut, EventFilter, NodeError, Programs, RunFilter,
    ServiceKey, wire,
};
use althing_ledger as ledger;
use althing_types::*;
use althing_workflow as workflow;

use super::{FakeNode, amount, answer, found, service_terms};

/// Who owns the one application, which is private.
pub const OWNER: Address = Address([7; 20]);
/// May see it.
const GRANTEE: Address = Address([0x67; 20]);
pub const TOKEN: &str = "the program's token";

pub fn private_terms() -> ApplicationTerms {
    let service = service_terms().id();
    let event = EventName { service, event: "received".parse().unwrap() };
    let step = |id: &str, ends: Vec<End>, wait: Option<Wait>| StepPlan {
        id: id.parse().unwrap(),
        action: Action::Task { service, task: "parse".parse().unwrap() },
        after: After { mode: Join::All, ends },
        wait,
        checkers: 0,
        quorum: 0,
        nodes: vec![],
        labels: Vec::new(),
        price_max: amount("1"),
        retry: Retry { max: 0, backoff_ms: 0 },
        timeout_ms: 0,
        yields: 0,
    };
    let parsed = StepStatus::Returned("parsed".parse().unwrap());
    let wait = Wait {
        event: event.clone(),
        filter: vec![Filter { key: 0, value: KeySource::Trigger(0) }],
        conditional: false,
        timeout_ms: 60_000,
    };
    ApplicationTerms {
        alias: "acme/cart@1.0.0".parse().unwrap(),
        document: BlobRef::of(b"{}"),
        home: EndpointId([3; 32]),
        visibility: Visibility::Private(vec![GRANTEE]),
        plan: Plan {
            trigger: Trigger { event: Some(event), filter: vec![], conditional: false },
            steps: vec![
                step("address", vec![], None),
                step("paid", vec![End { step: 0, status: parsed.clone() }], Some(wait)),
                step("told", vec![End { step: 0, status: parsed.clone() }], None),
            ],
            returns: vec![ReturnPlan {
                name: "paid".parse().unwrap(),
                from: End { step: 1, status: parsed },
            }],
        },
    }
}

pub fn application_id() -> Hash {
    althing_types::application_id(&OWNER, &private_terms().document.hash)
}

/// A run of which one branch waits, and the other is done.
pub fn run() -> wire::Run {
    let terms = private_terms();
    let event = workflow::Occurrence {
        key: keccak(&[b"trigger"]),
        payload: Payload::Blob(BlobRef::of(b"{}")),
        holders: vec![],
    };
    let mut run = workflow::Run::new(keccak(&[b"run"]), &terms.plan, vec![Hash([1; 32])], false);
    let attempt = |run: &mut workflow::Run, step: u16| {
        let id = workflow::attempt_id(&run.id, step, 0);
        let returned = workflow::Attempt::Returned {
            status: "parsed".parse().unwrap(),
            output: Payload::Blob(BlobRef::of(b"{}")),
            keys: vec![],
            holders: vec![],
        };
        let input = workflow::Input::Attempted { id, attempt: returned };
        run.apply(&terms.plan, TimeMs(20), input);
    };
    run.apply(&terms.plan, TimeMs(10), workflow::Input::Started);
    attempt(&mut run, 0);
    attempt(&mut run, 2);
    let record = ledger::RunRecord {
        id: run.id,
        application: application_id(),
        payer: application_id(),
        parent: None,
        event: event.payload,
        event_key: Some(event.key),
        event_homes: vec![],
        started: Height(3),
        started_at: TimeMs(10),
        changed: Height(4),
        run,
        due: None,
        spent: amount("0.5"),
        ended_at: None,
    };
    wire::Run::of(&application_record(), &[], &record)
}

fn application_record() -> ledger::ApplicationRecord {
    ledger::ApplicationRecord {
        id: application_id(),
        terms: private_terms(),
        owner: OWNER,
        deployed: Height(3),
        deployed_at: TimeMs(3),
        depth: 0,
        paused: false,
        replaced_by: None,
        removed: false,
    }
}

/// An event that three of four observed, one of them wrongly.
pub fn event_record() -> ledger::EventRecord {
    let observation = |node: u8, measured: i64, standing| ledger::Observation {
        node: Address([node; 20]),
        at: TimeMs(5),
        statement: 0,
        measured: vec![measured],
        standing,
        offence: (standing == ledger::Standing::Contradicts)
            .then_some(ledger::Offence::WrongObservation),
        fine: Amount::ZERO,
        earned: Amount::ZERO,
    };
    let (keys, data) = (vec![Hash([1; 32])], BlobRef::of(b"{}"));
    let name = EventName { service: service_terms().id(), event: "received".parse().unwrap() };
    ledger::EventRecord {
        key: keccak(&[b"trigger"]),
        name,
        id: keccak(&[b"id"]),
        state: ledger::EventState::Valid,
        opened_at: TimeMs(5),
        until: TimeMs(10_005),
        office: (1..=4).map(|node| Address([node; 20])).collect(),
        statements: vec![ledger::Statement { keys: keys.clone(), data }],
        observations: vec![
            observation(1, 1_200, ledger::Standing::Agrees),
            observation(2, 1_201, ledger::Standing::Agrees),
            observation(3, 1_296, ledger::Standing::Contradicts),
        ],
        absent: vec![ledger::Absentee { node: Address([4; 20]), fine: Amount::ZERO }],
        keys,
        base: data,
        measured: vec![1_201],
        decided_at: TimeMs(6),
        homes: vec![EndpointId([3; 32])],
        purse: Amount::ZERO,
    }
}

fn application() -> wire::Application {
    let usage = ledger::Usage { runs: 1, open: 1, missed: 0, spent: amount("0.5") };
    wire::Application::of(application_record(), usage, amount("12.5"))
}

impl Applications for FakeNode {
    fn list(
        &self,
        viewer: Option<Address>,
        owner: Option<Address>,
        _: Cut,
    ) -> Answer<'_, wire::Page<wire::Application>> {
        let shown = application().is_visible_to(viewer) && owner.is_none_or(|owner| owner == OWNER);
        let items = shown.then(application).into_iter().collect();
        answer(Ok(wire::Page { items, next: None }))
    }

    fn application(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
    ) -> Answer<'_, wire::Application> {
        let named = match &key {
            ApplicationKey::Id(id) => *id == application_id(),
            ApplicationKey::Alias(alias) => *alias == private_terms().alias,
        };
        let shown = named && application().is_visible_to(viewer);
        found(shown.then(application), format!("application {key}"))
    }

    fn runs(
        &self,
        viewer: Option<Address>,
        filter: RunFilter,
        _: Cut,
    ) -> Answer<'_, wire::Page<wire::Run>> {
        let shown = application().is_visible_to(viewer)
            && filter.application.is_none_or(|id| id == application_id())
            && filter.status.is_none_or(|status| status == run().status);
        answer(Ok(wire::Page { items: shown.then(run).into_iter().collect(), next: None }))
    }

    fn run(&self, viewer: Option<Address>, id: Hash, _: Duration) -> Answer<'_, wire::Run> {
        let shown = application().is_visible_to(viewer) && run().id.0 == id;
        found(shown.then(run), format!("run {id}"))
    }

    fn history(&self, viewer: Option<Address>, id: Hash) -> Answer<'_, wire::RunHistory> {
        let shown = application().is_visible_to(viewer) && run().id.0 == id;
        let moment = wire::RunMoment { height: 3, time: 10, changes: vec![wire::RunStep::Started] };
        let history = || wire::RunHistory { run: run().id, moments: vec![moment], agrees: true };
        found(shown.then(history), format!("run {id}"))
    }

    fn run_at(&self, viewer: Option<Address>, id: Hash, height: Height) -> Answer<'_, wire::Run> {
        let shown = application().is_visible_to(viewer) && run().id.0 == id && height.0 >= 3;
        found(shown.then(run), format!("run {id} at height {height}"))
    }

    fn occurrences(&self, filter: EventFilter, _: Cut) -> Answer<'_, wire::Page<wire::Occurrence>> {
        let record = wire::Occurrence::from(event_record());
        let shown = filter.service.is_none_or(|id| id == record.name.service.0)
            && filter.event.is_none_or(|name| name == record.name.event.0)
            && filter.state.is_none_or(|state| state == record.state);
        answer(Ok(wire::Page { items: shown.then_some(record).into_iter().collect(), next: None }))
    }

    fn occurrence(&self, key: Hash, _: Duration) -> Answer<'_, wire::Occurrence> {
        let record = event_record();
        found((record.key == key).then(|| record.into()), format!("event {key}"))
    }
}

impl Programs for FakeNode {
    fn connect(&self, service: ServiceKey, url: String) -> Answer<'_, wire::Connection> {
        if url.starts_with("ftp:") {
            let detail = "only http and https are spoken".to_owned();
            return answer(Err(NodeError::NotConnected { code: "PRG-0001", detail }));
        }
        let connection = wire::Connection {
            service: service_terms().id().into(),
            url,
            secret: "whsec_c2VjcmV0".to_owned(),
            token: TOKEN.to_owned(),
        };
        found(Self::is_known(&service).then_some(connection), format!("service {service}"))
    }

    fn disconnect(&self, service: ServiceKey) -> Answer<'_, ()> {
        found(Self::is_known(&service).then_some(()), format!("program of {service}"))
    }

    fn connections(&self) -> Answer<'_, Vec<wire::Connected>> {
        let url = "http://127.0.0.1:7101/".to_owned();
        answer(Ok(vec![wire::Connected { service: service_terms().id().into(), url }]))
    }

    fn observe(
        &self,
        service: ServiceKey,
        token: String,
        event: wire::CloudEvent,
    ) -> Answer<'_, wire::Observed> {
        if token != TOKEN {
            return answer(Err(NodeError::NotAllowed { what: "the token is another's" }));
        }
        if !Self::is_known(&service) || event.kind.as_str() != "received" {
            return found(None, format!("event {} of {service}", *event.kind));
        }
        if !event.data.is_object() {
            let detail = "`data`: an object is expected".to_owned();
            return answer(Err(NodeError::NotAnEvent { code: Some("MAN-0032"), detail }));
        }
        let key = event_key(&service_terms().id(), &event.kind, &keccak(&[event.id.as_bytes()]));
        answer(Ok(wire::Observed { event: key.into(), duplicate: false, via: None }))
    }
}
