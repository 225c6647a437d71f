//! Getting what a job needs onto this node: the service, documents, payloads.

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::{Execution, Origin};
use althing_types::{BlobRef, Claim, Hash, TimeMs};

use super::needs::{applications, documents, holders, patience_ms, unavailable, unusable, wanted};
use super::{Effect, Holder, JobId, Machine, Note, Runs, Service, Stage, Unusable, Which};
use crate::Work;
use crate::conduct::Finding;

/// What a job lacks before it can run.
#[derive(Debug)]
pub(super) struct Missing {
    /// Whether the service is being prepared.
    service: bool,
    blobs: BTreeSet<Hash>,
    survey: Survey,
}

/// Whether it is known which payloads a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survey {
    /// The documents are on their way.
    Due,
    Asked,
    /// Known, or a call, whose input is one blob.
    Done,
}

/// A blob that was asked for. Jobs of the same applications with the same holders wait together; the
/// patience is each one's own.
#[derive(Debug)]
pub(super) struct Ask {
    /// For which it was asked.
    job: JobId,
    blob: BlobRef,
    /// The applications of the jobs that wait.
    of: Vec<Hash>,
    service: Hash,
    from: Vec<Holder>,
    /// Until when the holders are asked.
    until: TimeMs,
    /// Who waits, and until when it would.
    jobs: BTreeMap<JobId, TimeMs>,
}

impl Ask {
    fn effect(&self, within_ms: u64) -> Effect {
        let Self { job, blob, service, .. } = *self;
        let (of, from) = (self.of.clone(), self.from.clone());
        Effect::FetchBlob { job, blob, of, service, from, within_ms }
    }
}

impl Missing {
    fn is_nothing(&self) -> bool {
        !self.service && self.blobs.is_empty() && self.survey == Survey::Done
    }
}

impl Machine {
    pub(super) fn fill_places(&mut self, effects: &mut Vec<Effect>) {
        for lane in Which::ALL {
            while let Some(job) = self.which(lane).next_to_fetch() {
                self.begin_to_fetch(job, effects);
            }
        }
        for lane in Which::ALL {
            while let Some(job) = self.which(lane).next_to_run() {
                self.begin_to_run(job, effects);
            }
        }
    }

    fn begin_to_fetch(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.execution.due <= self.time {
            let work = job.work;
            self.set_stage(&id, Stage::Refused);
            effects.push(Effect::Note(Note::TooLate(id, work)));
            return;
        }
        let (service, homes) = (job.execution.service, job.execution.homes.clone());
        let within_ms = patience_ms(&job.execution, self.time);
        let (wanted, survey) = match &job.execution.origin {
            Origin::Call => (wanted(&job.execution, job.work, &self.node), Survey::Done),
            Origin::Step(input) => {
                (documents(&job.execution, input, job.work, &self.node), Survey::Due)
            }
        };
        let blobs = wanted.iter().map(|(blob, _)| blob.hash).collect();
        let ready = matches!(self.services.get(&service), Some(Service::Ready(_)));
        let refused = matches!(self.services.get(&service), Some(Service::Refused));
        if let Some((job, lane)) = self.job_and_lane(&id) {
            job.stage = Stage::Fetching(Missing { service: !ready, blobs, survey });
            lane.fetching += 1;
        }
        if refused {
            self.conclude(id, unusable, effects);
            return;
        }
        if !ready {
            match self.services.get_mut(&service) {
                Some(Service::Preparing(jobs)) => {
                    jobs.insert(id);
                }
                _ => {
                    self.make_room_for_a_service();
                    self.services.insert(service, Service::Preparing(BTreeSet::from([id])));
                    effects.push(Effect::Prepare { service, homes, within_ms });
                }
            }
        }
        self.ask_for(id, service, wanted, within_ms, effects);
    }

    fn ask_for(
        &mut self,
        id: JobId,
        service: Hash,
        wanted: Vec<(BlobRef, Vec<Holder>)>,
        within_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let until = self.time.after(within_ms);
        let of = self.jobs.get(&id).map(|job| applications(&job.execution)).unwrap_or_default();
        for (blob, from) in wanted {
            let asks = self.blobs.entry(blob.hash).or_default();
            let same = |ask: &&mut Ask| ask.service == service && ask.of == of && ask.from == from;
            if let Some(ask) = asks.iter_mut().find(same) {
                ask.jobs.insert(id, until);
                continue;
            }
            let jobs = BTreeMap::from([(id, until)]);
            let ask = Ask { job: id, blob, of: of.clone(), service, from, until, jobs };
            effects.push(ask.effect(within_ms));
            asks.push(ask);
        }
    }

    /// Forgets services that nobody waits for; preparing one again costs little.
    fn make_room_for_a_service(&mut self) {
        if self.services.len() >= self.config.services_max {
            self.services.retain(|_, service| matches!(service, Service::Preparing(_)));
        }
    }

    pub(super) fn prepared(
        &mut self,
        service: Hash,
        result: Result<Runs, Unusable>,
        effects: &mut Vec<Effect>,
    ) {
        let waiting = match self.services.remove(&service) {
            Some(Service::Preparing(jobs)) => jobs,
            Some(Service::Ready(_) | Service::Refused) | None => BTreeSet::new(),
        };
        match result {
            Ok(runs) => self.services.insert(service, Service::Ready(runs)),
            Err(Unusable::Refused) => self.services.insert(service, Service::Refused),
            Err(Unusable::Unavailable) => None,
        };
        for job in waiting {
            if result.is_err() {
                self.conclude(job, unusable, effects);
                continue;
            }
            if let Some(missing) = self.missing(&job) {
                missing.service = false;
            }
            self.go_on(job, effects);
        }
    }

    pub(super) fn blob(
        &mut self,
        asked_for: &JobId,
        hash: &Hash,
        available: bool,
        effects: &mut Vec<Effect>,
    ) {
        if !available {
            self.not_had(asked_for, hash, effects);
            return;
        }
        // What was brought for one application is not there for another.
        let Some(asks) = self.blobs.get_mut(hash) else { return };
        let Some(ask) = asks.iter().find(|ask| ask.job == *asked_for) else { return };
        let of = ask.of.clone();
        let brought: Vec<Ask> = asks.extract_if(.., |ask| ask.of == of).collect();
        if asks.is_empty() {
            self.blobs.remove(hash);
        }
        for job in brought.into_iter().flat_map(|ask| ask.jobs.into_keys()) {
            if let Some(missing) = self.missing(&job) {
                missing.blobs.remove(hash);
            }
            self.go_on(job, effects);
        }
    }

    /// The holders of one ask did not have it in time: whoever waits no longer concludes, and for the
    /// others they are asked on.
    fn not_had(&mut self, asked_for: &JobId, hash: &Hash, effects: &mut Vec<Effect>) {
        let Some(asks) = self.blobs.get_mut(hash) else { return };
        let Some(place) = asks.iter().position(|ask| ask.job == *asked_for) else { return };
        let mut ask = asks.remove(place);
        let patient = |(_, until): &(&JobId, &TimeMs)| **until > ask.until;
        let longest = ask.jobs.iter().filter(patient).max_by_key(|(_, until)| **until);
        let (over, patient): (BTreeMap<_, _>, BTreeMap<_, _>) =
            match longest.map(|(job, until)| (*job, *until)) {
                Some((job, until)) => {
                    let asked_until = std::mem::replace(&mut ask.until, until);
                    ask.job = job;
                    ask.jobs.into_iter().partition(|(_, until)| *until <= asked_until)
                }
                None => (ask.jobs, BTreeMap::new()),
            };
        if !patient.is_empty() {
            let ask = Ask { jobs: patient, ..ask };
            effects.push(ask.effect(self.time.until(ask.until).max(1)));
            asks.push(ask);
        } else if asks.is_empty() {
            self.blobs.remove(hash);
        }
        for job in over.into_keys() {
            let lost = *hash;
            self.conclude(job, |execution, work| unavailable(execution, work, &lost), effects);
        }
    }

    /// Takes in which payloads a step reads.
    pub(super) fn surveyed(
        &mut self,
        id: JobId,
        needs: Result<Vec<BlobRef>, Unusable>,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(needs) = needs else {
            self.conclude(id, unusable, effects);
            return;
        };
        let (node, time) = (self.node, self.time);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Stage::Fetching(missing) = &mut job.stage else { return };
        if missing.survey != Survey::Asked {
            return;
        }
        missing.survey = Survey::Done;
        missing.blobs = needs.iter().map(|blob| blob.hash).collect();
        let (service, within_ms) = (job.execution.service, patience_ms(&job.execution, time));
        let from = holders(&job.execution, &node);
        let wanted = needs.into_iter().map(|blob| (blob, from.clone())).collect();
        self.ask_for(id, service, wanted, within_ms, effects);
        self.go_on(id, effects);
    }

    fn missing(&mut self, id: &JobId) -> Option<&mut Missing> {
        match &mut self.jobs.get_mut(id)?.stage {
            Stage::Fetching(missing) => Some(missing),
            _ => None,
        }
    }

    /// Asks what a step reads once its documents are here, and lets a job run that lacks nothing.
    fn go_on(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let Some((job, lane)) = self.job_and_lane(&id) else { return };
        let Stage::Fetching(missing) = &mut job.stage else { return };
        if missing.survey == Survey::Due && missing.blobs.is_empty() {
            missing.survey = Survey::Asked;
            let execution = Box::new(job.execution.clone());
            effects.push(Effect::Survey { job: id, execution });
            return;
        }
        if !missing.is_nothing() {
            return;
        }
        job.stage = Stage::Ready;
        let (service, due) = (job.execution.service, job.due);
        lane.fetching -= 1;
        let outside = matches!(self.services.get(&service), Some(Service::Ready(Runs::Outside)));
        if outside && let Some(job) = self.jobs.get_mut(&id) {
            job.lane = job.lane.outside();
        }
        if let Some((_, lane)) = self.job_and_lane(&id) {
            lane.fetching += 1;
            lane.ready.push(service, due, id);
        }
    }

    /// A job does not wait for these any more; who else waits for them still gets them.
    pub(super) fn want_no_more(&mut self, id: &JobId, missing: &Missing) {
        for hash in &missing.blobs {
            for ask in self.blobs.get_mut(hash).into_iter().flatten() {
                ask.jobs.remove(id);
            }
        }
    }

    /// Ends the fetching of a job with a doubt.
    fn conclude(
        &mut self,
        id: JobId,
        doubt: impl Fn(&Execution, Work) -> Claim,
        effects: &mut Vec<Effect>,
    ) {
        let Some((job, lane)) = self.job_and_lane(&id) else { return };
        if !matches!(job.stage, Stage::Fetching(_)) {
            return;
        }
        lane.fetching -= 1;
        let claim = doubt(&job.execution, job.work);
        if let Stage::Fetching(missing) = std::mem::replace(&mut job.stage, Stage::Waiting) {
            self.want_no_more(&id, &missing);
        }
        self.keep(id, Finding::bare(claim), effects);
    }
}
