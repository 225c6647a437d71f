//! Deploys an application under its content hash and its alias.

use alloc::vec::Vec;

use althing_state::View;
use althing_types::{
    Action, Address, Alias, ApplicationTerms, Deploy, End, EventName, Filter, Hash, KeySource,
    NESTING_MAX, Name, Plan, StepPlan, StepStatus, Visibility, application_id, purse,
};
use althing_workflow::{check, is_own_status};

use crate::application::{self, ApplicationRecord};
use crate::ledger::Halt;
use crate::order::{self, Work};
use crate::{Ledger, Rejection, Restriction, keys};

/// Largest document in bytes.
const DOCUMENT_BYTES_MAX: u32 = 1 << 20;
/// Most accounts that may see a private application.
pub(super) const GRANTEES_MAX: usize = 128;

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    deploy: &Deploy,
) -> Result<Hash, Halt> {
    let Deploy { terms, deposit, replaces } = deploy;
    let id = application_id(&sender, &terms.document.hash);
    if !are_acceptable(terms) {
        return Err(Rejection::BadApplication.into());
    }
    check(&terms.plan).map_err(|fault| Rejection::NotAPlan { fault })?;
    let known = ledger.application(&id)?;
    if known.as_ref().is_some_and(|known| !can_be_taken_up(known, terms)) {
        return Err(Rejection::AlreadyDeployed.into());
    }
    let depth = check_against_services(ledger, &sender, &terms.plan)?;
    take_alias(ledger, sender, &terms.alias, replaces.as_ref(), id)?;
    if let Some(replaced) = replaces {
        replace(ledger, &sender, replaced, id)?;
    }
    let record = ApplicationRecord {
        id,
        terms: (**terms).clone(),
        owner: sender,
        deployed: ledger.block.height,
        deployed_at: ledger.block.time,
        depth,
        paused: false,
        replaced_by: None,
        removed: false,
    };
    ledger.debit(&sender, *deposit)?;
    ledger.credit(&purse(&id), *deposit)?;
    ledger.put_application(&record);
    application::listen(ledger, &record);
    if !is_counted(ledger, known.as_ref())? {
        application::count_interest(ledger, &record, true)?;
    }
    Ok(id)
}

/// Whether it starts no runs for good, and is deployed as it was. The ledger never sees the document,
/// from which the plan follows: under one document there is one plan.
fn can_be_taken_up(known: &ApplicationRecord, terms: &ApplicationTerms) -> bool {
    (known.removed || known.replaced_by.is_some()) && known.terms.plan == terms.plan
}

/// Whether the waits of an application that was deployed before are still counted: until a removed
/// one has ended its last run.
fn is_counted<V: View>(
    ledger: &Ledger<'_, V>,
    known: Option<&ApplicationRecord>,
) -> Result<bool, Halt> {
    let Some(known) = known else { return Ok(false) };
    Ok(!known.removed || ledger.usage(&known.id)?.open > 0)
}

fn are_acceptable(terms: &ApplicationTerms) -> bool {
    let grantees = match &terms.visibility {
        // Whoever uses it as a task sees its `returns` as statuses.
        Visibility::Public => !terms.plan.returns.is_empty(),
        Visibility::Private(accounts) => {
            let ordered = accounts.is_sorted_by(|a, b| a < b);
            accounts.len() <= GRANTEES_MAX && ordered
        }
    };
    grantees && (1..=DOCUMENT_BYTES_MAX).contains(&terms.document.bytes)
}

/// Takes the name: free, its own, or that of the application that is replaced, in the sender's
/// namespace.
fn take_alias<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    alias: &Alias,
    replaces: Option<&Hash>,
    id: Hash,
) -> Result<(), Halt> {
    super::publish::take_namespace(ledger, sender, &alias.namespace)?;
    let key = keys::application_alias(alias);
    let holder = ledger.load::<Hash>(&key)?;
    if holder.is_some_and(|holder| holder != id && Some(&holder) != replaces) {
        return Err(Rejection::ApplicationAliasTaken.into());
    }
    ledger.write(key, &id);
    Ok(())
}

fn replace<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: &Address,
    replaced: &Hash,
    by: Hash,
) -> Result<(), Halt> {
    let mut record = ledger.application_of(sender, replaced)?;
    if record.removed {
        return Err(Rejection::ApplicationRemoved.into());
    }
    record.replaced_by = Some(by);
    ledger.put_application(&record);
    application::listen(ledger, &record);
    Ok(())
}

/// What a step can end with besides `error` and `timeout`.
type Statuses = Vec<Name>;

/// Checks everything that the plan names against what there is; gives how deep it nests.
fn check_against_services<V: View>(
    ledger: &Ledger<'_, V>,
    sender: &Address,
    plan: &Plan,
) -> Result<u8, Halt> {
    let mut depth = 0;
    let mut statuses: Vec<Statuses> = Vec::new();
    for step in &plan.steps {
        let (found, below) = check_action(ledger, sender, step)?;
        statuses.push(found);
        depth = depth.max(below);
    }
    let most = u8::try_from(NESTING_MAX).unwrap_or(u8::MAX);
    if depth > most {
        return Err(Rejection::NestedTooDeeply { most }.into());
    }
    let has = |end: &End| {
        let step = usize::from(end.step);
        match &end.status {
            StepStatus::Returned(name) => {
                statuses.get(step).is_some_and(|statuses| statuses.contains(name))
            }
            StepStatus::Error | StepStatus::Timeout => {
                plan.steps.get(step).is_some_and(|step| is_own_status(step, &end.status))
            }
        }
    };
    let hanging = plan
        .steps
        .iter()
        .enumerate()
        .flat_map(|(index, step)| step.after.ends.iter().map(move |end| (number(index), end)));
    let returned = plan.returns.iter().map(|returns| (number(plan.steps.len()), &returns.from));
    for (step, end) in hanging.chain(returned) {
        if !has(end) {
            return Err(Rejection::UnknownEnd { step, of: end.step }.into());
        }
    }
    check_events(ledger, plan)?;
    Ok(depth)
}

fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn check_action<V: View>(
    ledger: &Ledger<'_, V>,
    sender: &Address,
    step: &StepPlan,
) -> Result<(Statuses, u8), Halt> {
    match &step.action {
        Action::Task { service, task } => {
            let work = Work {
                service,
                task,
                checkers: step.checkers,
                quorum: step.quorum,
                restriction: Restriction { nodes: &step.nodes, labels: &step.labels },
                price_max: step.price_max,
            };
            Ok((order::quote(ledger, &work)?.task.statuses, 0))
        }
        Action::Application { application } => {
            let used = ledger
                .application(application)?
                .ok_or(Rejection::UnknownApplication { application: *application })?;
            if !used.is_usable_by(sender) {
                return Err(Rejection::NotUsable { application: *application }.into());
            }
            let statuses = used.terms.plan.returns.into_iter().map(|returns| returns.name);
            Ok((statuses.collect(), used.depth.saturating_add(1)))
        }
    }
}

fn check_events<V: View>(ledger: &Ledger<'_, V>, plan: &Plan) -> Result<(), Halt> {
    let keys_of = |event: &EventName| -> Result<u8, Halt> {
        let service = ledger
            .service(&event.service)?
            .ok_or(Rejection::UnknownService { service: event.service })?;
        let terms = service.terms.event(&event.event).ok_or(Rejection::UnknownEvent)?;
        Ok(terms.keys)
    };
    let trigger_keys = match &plan.trigger.event {
        Some(event) => keys_of(event)?,
        None => 0,
    };
    let fits = |filter: &[Filter], keys: u8| {
        filter.iter().all(|part| {
            let source = match part.value {
                KeySource::Trigger(key) => key < trigger_keys,
                KeySource::Constant(_) | KeySource::Yielded { .. } => true,
            };
            source && part.key < keys
        })
    };
    if !fits(&plan.trigger.filter, trigger_keys) {
        return Err(Rejection::UnknownKey { step: 0 }.into());
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(wait) = &step.wait else { continue };
        if !fits(&wait.filter, keys_of(&wait.event)?) {
            return Err(Rejection::UnknownKey { step: number(index) }.into());
        }
    }
    Ok(())
}
