//! Applications, runs and events as the HTTP interface sees them.
//!
//! - Invariant: a private application and its runs do not exist for those who may not see them.

use std::collections::BTreeMap;
use std::time::Duration;

use althing_api::{
    Answer, ApplicationKey, Applications, Cut, EventFilter, NodeError, PAGE_MAX, RunFilter, wire,
};
use althing_ledger::{ApplicationRecord, EventRecord, EventState, RunRecord, query};
use althing_replica::Reader;
use althing_types::{Action, Address, Hash, Height, Name, Visibility, purse};

use crate::history::{History, Moment, replay};
use crate::settled::Ids;
use crate::view::{NodeView, blocking, failed, missing};

/// Who may know of an application; `None` for everybody.
pub(crate) fn readers(record: &ApplicationRecord) -> Option<Vec<Address>> {
    match &record.terms.visibility {
        Visibility::Public => None,
        Visibility::Private(grantees) => {
            Some(grantees.iter().copied().chain([record.owner]).collect())
        }
    }
}

pub(crate) fn is_visible(record: &ApplicationRecord, viewer: Option<Address>) -> bool {
    readers(record).is_none_or(|readers| viewer.is_some_and(|viewer| readers.contains(&viewer)))
}

/// Applications that were looked up for one answer.
struct Known<'a> {
    reader: &'a Reader,
    viewer: Option<Address>,
    found: BTreeMap<Hash, Option<(ApplicationRecord, Mains)>>,
}

/// The main status of each step, as far as its service or application is there.
type Mains = Vec<Option<Name>>;

impl<'a> Known<'a> {
    const fn new(reader: &'a Reader, viewer: Option<Address>) -> Self {
        Self { reader, viewer, found: BTreeMap::new() }
    }

    /// The application, if the viewer may see it.
    fn visible(&mut self, id: &Hash) -> Result<Option<&(ApplicationRecord, Mains)>, NodeError> {
        if !self.found.contains_key(id) {
            let record = query::application(&self.reader.view(), id).map_err(failed)?;
            let record = record.filter(|record| is_visible(record, self.viewer));
            let found = match record {
                None => None,
                Some(record) => Some((mains(self.reader, &record)?, record)),
            };
            self.found.insert(*id, found.map(|(mains, record)| (record, mains)));
        }
        Ok(self.found.get(id).and_then(Option::as_ref))
    }
}

fn mains(reader: &Reader, application: &ApplicationRecord) -> Result<Mains, NodeError> {
    let view = reader.view();
    let steps = application.terms.plan.steps.iter();
    let main = |action: &Action| -> Result<Option<Name>, NodeError> {
        Ok(match action {
            Action::Task { service, task } => query::service(&view, service)
                .map_err(failed)?
                .and_then(|service| service.terms.task(task)?.statuses.first().cloned()),
            Action::Application { application } => query::application(&view, application)
                .map_err(failed)?
                .and_then(|used| Some(used.terms.plan.returns.first()?.name.clone())),
        })
    };
    steps.map(|step| main(&step.action)).collect()
}

fn shown(reader: &Reader, record: ApplicationRecord) -> Result<wire::Application, NodeError> {
    let view = reader.view();
    let usage = query::usage(&view, &record.id).map_err(failed)?;
    let deposit = query::account(&view, &purse(&record.id)).map_err(failed)?.balance;
    Ok(wire::Application::of(record, usage, deposit))
}

fn applications(
    reader: &Reader,
    viewer: Option<Address>,
    owner: Option<Address>,
    cut: Cut,
) -> Result<wire::Page<wire::Application>, NodeError> {
    let limit = cut.limit.clamp(1, PAGE_MAX);
    let (mut items, mut after) = (Vec::new(), cut.after);
    loop {
        let part = query::applications(&reader.view(), after.as_ref(), PAGE_MAX).map_err(failed)?;
        if part.is_empty() {
            return Ok(wire::Page { items, next: None });
        }
        for record in part {
            after = Some(record.id);
            if is_visible(&record, viewer) && owner.is_none_or(|owner| record.owner == owner) {
                items.push(shown(reader, record)?);
                if items.len() == limit {
                    return Ok(wire::Page { items, next: after.map(Into::into) });
                }
            }
        }
    }
}

/// Ids of what is open and of what has ended lately, ascending and without repeats.
fn merged(open: Vec<Hash>, ended: Vec<Hash>) -> Vec<Hash> {
    let mut ids = open;
    ids.extend(ended);
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(PAGE_MAX);
    ids
}

fn runs(
    reader: &Reader,
    ended: &Ids,
    viewer: Option<Address>,
    filter: RunFilter,
    cut: Cut,
) -> Result<wire::Page<wire::Run>, NodeError> {
    let limit = cut.limit.clamp(1, PAGE_MAX);
    let (mut items, mut after) = (Vec::new(), cut.after);
    let mut known = Known::new(reader, viewer);
    loop {
        let application = filter.application.as_ref();
        let open = query::runs(&reader.view(), application, after.as_ref(), PAGE_MAX);
        let open = open.map_err(failed)?.iter().map(|run| run.id).collect();
        let ids = merged(open, ended.after(after.as_ref(), PAGE_MAX));
        let Some(last) = ids.last().copied() else { return Ok(wire::Page { items, next: None }) };
        for id in ids {
            let Some(record) = reader.run(&id).map_err(failed)? else { continue };
            if filter.application.is_some_and(|wanted| wanted != record.application) {
                continue;
            }
            let Some((application, mains)) = known.visible(&record.application)? else { continue };
            let run = wire::Run::of(application, mains, &record);
            if filter.status.is_none_or(|status| status == run.status) {
                items.push(run);
                if items.len() == limit {
                    return Ok(wire::Page { items, next: Some(id.into()) });
                }
            }
        }
        after = Some(last);
    }
}

fn passes(record: &EventRecord, filter: &EventFilter) -> bool {
    let EventFilter { service, event, state } = filter;
    service.is_none_or(|service| record.name.service == service)
        && event.as_ref().is_none_or(|event| record.name.event == *event)
        && state.is_none_or(|state| wire::EventState::from(record.state) == state)
}

fn occurrences(
    reader: &Reader,
    ended: &Ids,
    filter: &EventFilter,
    cut: Cut,
) -> Result<wire::Page<wire::Occurrence>, NodeError> {
    let limit = cut.limit.clamp(1, PAGE_MAX);
    let (mut items, mut after) = (Vec::new(), cut.after);
    loop {
        let open = query::events(&reader.view(), after.as_ref(), PAGE_MAX).map_err(failed)?;
        let open = open.iter().map(|event| event.key).collect();
        let keys = merged(open, ended.after(after.as_ref(), PAGE_MAX));
        let Some(last) = keys.last().copied() else { return Ok(wire::Page { items, next: None }) };
        for key in keys {
            let Some(record) = reader.event(&key).map_err(failed)? else { continue };
            if passes(&record, filter) {
                items.push(record.into());
                if items.len() == limit {
                    return Ok(wire::Page { items, next: Some(key.into()) });
                }
            }
        }
        after = Some(last);
    }
}

fn find_record(
    reader: &Reader,
    viewer: Option<Address>,
    id: &Hash,
) -> Result<(ApplicationRecord, Mains, RunRecord), NodeError> {
    let absent = || missing(format!("run {id}"));
    let record = reader.run(id).map_err(failed)?.ok_or_else(absent)?;
    let mut known = Known::new(reader, viewer);
    let (application, mains) = known.visible(&record.application)?.ok_or_else(absent)?;
    Ok((application.clone(), mains.clone(), record))
}

fn find_run(
    reader: &Reader,
    viewer: Option<Address>,
    id: &Hash,
) -> Result<(wire::Run, RunRecord), NodeError> {
    let (application, mains, record) = find_record(reader, viewer, id)?;
    Ok((wire::Run::of(&application, &mains, &record), record))
}

/// A run, played again up to a block.
fn played(
    reader: &Reader,
    viewer: Option<Address>,
    id: &Hash,
    until: Option<Height>,
) -> Result<(ApplicationRecord, Mains, History), NodeError> {
    let (application, mains, record) = find_record(reader, viewer, id)?;
    let history = replay(reader, &application, &record, until).map_err(failed)?;
    Ok((application, mains, history))
}

impl Applications for NodeView {
    fn list(
        &self,
        viewer: Option<Address>,
        owner: Option<Address>,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Application>> {
        let reader = self.reader();
        Box::pin(blocking(move || applications(&reader, viewer, owner, cut)))
    }

    fn application(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
    ) -> Answer<'_, wire::Application> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let absent = || missing(format!("application {key}"));
            let view = reader.view();
            let id = match &key {
                ApplicationKey::Id(id) => *id,
                ApplicationKey::Alias(alias) => {
                    query::application_alias(&view, alias).map_err(failed)?.ok_or_else(absent)?
                }
            };
            let record = query::application(&view, &id).map_err(failed)?;
            let record = record.filter(|record| is_visible(record, viewer)).ok_or_else(absent)?;
            shown(&reader, record)
        }))
    }

    fn runs(
        &self,
        viewer: Option<Address>,
        filter: RunFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Run>> {
        let (reader, settled) = (self.reader(), self.settled.clone());
        Box::pin(blocking(move || runs(&reader, &settled.runs, viewer, filter, cut)))
    }

    fn run(&self, viewer: Option<Address>, id: Hash, wait: Duration) -> Answer<'_, wire::Run> {
        Box::pin(async move {
            let ask = move |reader: &Reader| {
                let (run, record) = find_run(reader, viewer, &id)?;
                let done = record.run.end.is_some() || run.status.is_over();
                Ok((run, done))
            };
            self.wait_for(wait, ask).await
        })
    }

    fn history(&self, viewer: Option<Address>, id: Hash) -> Answer<'_, wire::RunHistory> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let (_, _, history) = played(&reader, viewer, &id, None)?;
            let moment = |moment: Moment| wire::RunMoment {
                height: moment.height.0,
                time: moment.time.0,
                changes: moment.changes.into_iter().map(Into::into).collect(),
            };
            let moments = history.moments.into_iter().map(moment).collect();
            Ok(wire::RunHistory { run: id.into(), moments, agrees: history.agrees })
        }))
    }

    fn run_at(&self, viewer: Option<Address>, id: Hash, height: Height) -> Answer<'_, wire::Run> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let (application, mains, history) = played(&reader, viewer, &id, Some(height))?;
            if height < history.record.started {
                return Err(missing(format!("run {id} at height {height}")));
            }
            Ok(wire::Run::of(&application, &mains, &history.record))
        }))
    }

    fn occurrences(
        &self,
        filter: EventFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Occurrence>> {
        let (reader, settled) = (self.reader(), self.settled.clone());
        Box::pin(blocking(move || occurrences(&reader, &settled.events, &filter, cut)))
    }

    fn occurrence(&self, key: Hash, wait: Duration) -> Answer<'_, wire::Occurrence> {
        Box::pin(async move {
            let ask = move |reader: &Reader| {
                let record = reader.event(&key).map_err(failed)?;
                let record = record.ok_or_else(|| missing(format!("event {key}")))?;
                let done = record.state != EventState::Open;
                Ok((record, done))
            };
            let found = self.wait_for(wait, ask).await;
            // Accepted here and refused by the ledger: nobody else could tell.
            let refused = self.emitting.observatory.refused(&key);
            match (found, refused) {
                (Err(NodeError::NotFound { .. }), Some(why)) => {
                    let detail = format!("the ledger refused the observation of {key}: {why}");
                    Err(NodeError::Rejected { code: why.code(), detail })
                }
                (found, refused) => {
                    let found = found?;
                    // One that had counted is refused when it is told of again.
                    let counts = found.observation(&self.emitting.address).is_some();
                    let refused = refused.filter(|_| !counts).map(|why| wire::Refusal {
                        code: why.code().to_owned(),
                        detail: why.to_string(),
                    });
                    Ok(wire::Occurrence { refused, ..found.into() })
                }
            }
        })
    }
}
