//! The event loop: takes the next thing that happens, lets the node see it, delivers what it does.

mod dishonest;
mod happening;
mod misfortune;
mod people;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use althing_consensus_malachite::stepped::{self, Input};
use althing_network::Lane;
use althing_replica::Reader;
use althing_replica::application::Fault as NodeFault;
use althing_types::{Address, EndpointId, Genesis, Hash, Height};
use bytes::Bytes;

use crate::auditor::{Auditor, World};
use crate::event::{Event, Question, Queue};
use crate::fetch::ANSWER_US_MAX;
use crate::links::Links;
use crate::node::{Deed, FILE_QUESTION, Failure, Node, Openings, Setup, TICK_US, Time};
use crate::occurrences::Occurrences;
use crate::outside::Technology;
use crate::random::Random;
use crate::report::{Report, Statistics};
use crate::scenario::{Scenario, Voting};
use crate::setting::{self, USERS, endpoint, node_key, service_files};
use crate::shop::{self, Deployment};
use crate::trace::Trace;
use crate::users::User;
use crate::verdict;

/// Frames that spammers remember.
const OVERHEARD_MAX: usize = 64;

/// A network under way.
#[derive(Debug)]
pub struct Simulation {
    scenario: Scenario,
    genesis: Genesis,
    time: Time,
    queue: Queue,
    links: Links,
    pub(crate) nodes: Vec<Node>,
    users: Vec<User>,
    random: Random,
    pub(crate) auditor: Auditor,
    pub(crate) trace: Trace,
    pub(crate) statistics: Statistics,
    /// The applications that users deploy.
    deployments: Vec<Deployment>,
    /// What happens outside.
    occurrences: Occurrences,
    technology: Technology,
    openings: Openings,
    /// The chance of what happens outside.
    fate: Random,
    /// Which node has acknowledged which occurrence.
    told: BTreeSet<(usize, usize)>,
    /// Frames that spammers have received, to be sent again, whole or altered.
    overheard: VecDeque<(Lane, Bytes)>,
    /// The height at which all faults ended.
    pub(crate) healed_at: Option<Height>,
}

impl Simulation {
    /// A network before its first event.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let fate = !scenario.seed;
        let genesis = setting::genesis(&scenario.powers);
        let time = Time::default();
        let technology = Technology::default();
        let setup = Setup {
            time: time.clone(),
            churn: scenario.churn,
            technology: technology.clone(),
            answers_lost_per_mille: scenario.answers_lost_per_mille,
            part_bytes: scenario.part_bytes,
            openings: Openings::default(),
        };
        let openings = setup.openings.clone();
        let mut nodes: Vec<Node> = scenario
            .parts
            .iter()
            .enumerate()
            .map(|(key, part)| Node::new(key, *part, setup.clone()))
            .collect();
        let twins: Vec<usize> = (0..nodes.len())
            .filter(|node| scenario.parts.get(*node).is_some_and(|p| p.voting == Voting::Twins))
            .collect();
        for key in twins {
            let part = scenario.parts.get(key).copied().unwrap_or(crate::scenario::Part::HONEST);
            nodes.push(Node::new(key, part, setup.clone()));
        }
        let sound: BTreeMap<Address, usize> = (0..scenario.parts.len())
            .filter(|node| scenario.is_sound(*node))
            .map(|node| (node_key(node).address(), node))
            .collect();
        let all_sound = sound.len() == scenario.parts.len();
        let well_from_us = if all_sound { (scenario.heal_ms + 10_000) * 1_000 } else { u64::MAX };
        let deployments = shop::deployments(scenario.step_checkers);
        let forgers = (0..scenario.parts.len())
            .filter(|node| scenario.parts.get(*node).is_some_and(|part| part.emitting.lies()))
            .map(|node| node_key(node).address())
            .collect();
        let world = World {
            forgers,
            nodes: scenario.parts.len(),
            deployments: deployments.clone(),
            technology: technology.clone(),
            defect: scenario.defect,
        };
        let auditor = Auditor::new(&genesis, sound, well_from_us, world);
        let links = Links::new(random.fork());
        let users = (0..USERS).map(|number| User::new(number, random.fork())).collect();
        let mut simulation = Self {
            scenario,
            genesis,
            time,
            queue: Queue::default(),
            links,
            nodes,
            users,
            random,
            auditor,
            trace: Trace::default(),
            statistics: Statistics::default(),
            overheard: VecDeque::new(),
            deployments,
            occurrences: Occurrences::default(),
            technology,
            openings,
            fate: Random::new(fate),
            told: BTreeSet::new(),
            healed_at: None,
        };
        simulation.plan();
        simulation
    }

    /// Puts the scenario into the queue.
    fn plan(&mut self) {
        for node in 0..self.nodes.len() {
            let at_us = self.random.below(200_000);
            self.queue.push(at_us, Event::Start(node));
            if node < self.nodes.len() / 2 + 1 {
                self.give_files(node);
            }
        }
        for user in 0..self.users.len() {
            let at_us = 1_000_000 + self.random.below(1_000_000);
            self.queue.push(at_us, Event::User(user));
        }
        for fault in &self.scenario.faults {
            self.queue.push(fault.at_ms * 1_000, Event::Fault(fault.kind));
        }
        self.queue.push(self.scenario.heal_ms * 1_000, Event::Heal);
        self.queue.push(6_000_000, Event::Outside);
    }

    fn give_files(&self, node: usize) {
        use althing_work::port::Blobs as _;
        let Some(node) = self.nodes.get(node) else { return };
        for file in service_files() {
            node.disk.blobs.keep(&file).expect("memory can be written");
        }
    }

    /// Runs a scenario to its end.
    #[must_use]
    pub fn run(scenario: Scenario) -> Report {
        let mut simulation = Self::new(scenario);
        while simulation.step() {}
        simulation.finish()
    }

    /// The scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Virtual time since the start, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.time.us()
    }

    /// Lets the next thing happen; false once the time is over, or a claim is broken.
    pub fn step(&mut self) -> bool {
        if !self.auditor.violations.is_empty() {
            return false;
        }
        let Some((at_us, event)) = self.queue.pop() else { return false };
        if at_us > self.scenario.duration_ms() * 1_000 {
            return false;
        }
        self.time.set(at_us);
        self.happen(event);
        true
    }

    /// Judges the end, and tells everything.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if self.auditor.violations.is_empty() {
            verdict::at_the_end(&mut self);
        }
        let (links, now_us) = (&self.links, self.time.us());
        self.statistics.simulated_us = now_us;
        self.statistics.heights = self.auditor.height().0;
        self.statistics.events = self.trace.events();
        self.statistics.count_frames(links.sent, links.lost, links.cut, links.doubled);
        let (done, repeated, lost) = self.technology.counts();
        let counts = [("done once", done), ("asked for again", repeated), ("answers lost", lost)];
        self.statistics.outside.extend(counts);
        self.statistics.open_blocks = self.openings.counts();
        self.statistics.take_in(&self.auditor);
        Report {
            trace: self.trace.hash(),
            lines: self.trace.lines(),
            violations: self.auditor.violations,
            statistics: self.statistics,
            scenario: self.scenario,
        }
    }

    // Events.

    fn happen(&mut self, event: Event) {
        let now_us = self.time.us();
        match event {
            Event::Frame { to, from, lane, payload } => {
                self.trace.event(now_us, to, lane as u8, &payload);
                self.frame(to, from, lane, payload);
            }
            Event::Send { node, life, lane, payload } => {
                self.trace.event(now_us, node, 23, &payload);
                if self.nodes.get(node).is_some_and(|n| n.life == life && n.running.is_some()) {
                    self.broadcast(node, lane, &payload);
                }
            }
            Event::Question { to, from, life, number, question } => {
                self.trace.event(now_us, to, 10, &number.to_be_bytes());
                self.question(to, from, life, number, &question);
            }
            Event::Answer { to, life, number, body } => {
                self.trace.event(now_us, to, 11, body.as_deref().unwrap_or_default());
                self.with(to, life, |running, deeds| {
                    if number & FILE_QUESTION == 0 {
                        running.engine(Input::Answer { number, body }, deeds)
                    } else {
                        running.fetched(number, Some(body), deeds)
                    }
                });
            }
            Event::Alarm { node, life, alarm } => {
                self.trace.event(now_us, node, 12, &alarm.to_be_bytes());
                self.with(node, life, |running, deeds| {
                    running.engine(Input::Elapsed(alarm), deeds)
                });
            }
            Event::Work { node, life, input } => {
                self.trace.event(now_us, node, 13, &[]);
                self.with(node, life, |running, deeds| running.worker_input(*input, deeds));
            }
            Event::Keep { node, life } => {
                self.trace.event(now_us, node, 14, &[]);
                self.with(node, life, |running, deeds| running.keep(deeds));
            }
            Event::Look { node, life } => {
                self.trace.event(now_us, node, 22, &[]);
                self.with(node, life, |running, deeds| running.settle(deeds));
            }
            Event::Fetch { node, life, number } => {
                self.trace.event(now_us, node, 15, &number.to_be_bytes());
                self.with(node, life, |running, deeds| running.fetched(number, None, deeds));
            }
            Event::Tick { node, life } => {
                self.trace.event(now_us, node, 16, &[]);
                self.tick(node, life);
            }
            Event::User(user) => {
                self.trace.event(now_us, user, 17, &[]);
                self.user(user);
            }
            Event::Note { node, life } => {
                self.trace.event(now_us, node, 18, &[]);
                self.with(node, life, |running, deeds| running.note(deeds));
            }
            Event::Outside => self.outside(),
            Event::Happens(occurrence) => {
                self.trace.event(now_us, occurrence, 19, &[]);
                self.happens(occurrence);
            }
            Event::Told { node, occurrence } => {
                self.trace.event(now_us, node, 21, &(occurrence as u64).to_be_bytes());
                self.told(node, occurrence);
            }
            Event::Start(node) => self.start(node),
            Event::Fault(kind) => self.fault(kind),
            Event::Heal => self.heal(),
        }
    }

    /// Lets a running node see something, and does what it wants; a fault stops it.
    fn with(
        &mut self,
        node: usize,
        life: u32,
        see: impl FnOnce(&mut crate::node::Running, &mut Vec<Deed>) -> Result<(), NodeFault>,
    ) {
        let Some(running) =
            self.nodes.get_mut(node).filter(|n| n.life == life).and_then(|n| n.running.as_mut())
        else {
            return;
        };
        let mut deeds = Vec::new();
        let seen = see(running, &mut deeds);
        self.after(node, deeds);
        if let Err(fault) = seen {
            self.stopped(node, &Failure::Fault(fault));
        }
    }

    fn life(&self, node: usize) -> u32 {
        self.nodes.get(node).map_or(0, |node| node.life)
    }

    /// Looks at what a node has committed, and delivers what it does.
    fn after(&mut self, node: usize, deeds: Vec<Deed>) {
        self.audit(node);
        let life = self.life(node);
        for deed in deeds {
            self.deliver(node, life, deed);
        }
    }

    fn audit(&mut self, node: usize) {
        let Self { nodes, auditor, trace, time, .. } = self;
        let Some(entry) = nodes.get_mut(node) else { return };
        let honest = entry.part.is_honest();
        let Some(running) = &mut entry.running else { return };
        let commits = std::mem::take(&mut running.committed);
        if !honest {
            return;
        }
        let acknowledged = running.take_acknowledged();
        let reader = running.reader().clone();
        auditor.acknowledged_events(node, acknowledged, time.us());
        for committed in commits {
            trace.event(time.us(), node, 20, &committed.block.0);
            let height = committed.header.height;
            look(auditor, trace, nodes, node, &reader, height, time.us());
        }
    }

    fn deliver(&mut self, node: usize, life: u32, deed: Deed) {
        let now_us = self.time.us();
        match deed {
            Deed::Broadcast(lane, payload) => self.broadcast(node, lane, &payload),
            Deed::Send(after_us, lane, payload) => {
                self.queue.push(now_us + after_us, Event::Send { node, life, lane, payload });
            }
            Deed::Alarm(alarm, after) => {
                let after_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX / 2);
                self.queue.push(now_us + after_us, Event::Alarm { node, life, alarm });
            }
            Deed::Ask(peer, number, question) => self.ask(node, life, peer, number, question),
            Deed::Work(after_us, input) => {
                self.queue.push(now_us + after_us, Event::Work { node, life, input });
            }
            Deed::Keep(after_us) => {
                self.queue.push(now_us + after_us, Event::Keep { node, life });
            }
            Deed::Note(after_us) => {
                self.queue.push(now_us + after_us, Event::Note { node, life });
            }
            Deed::Look(after_us) => {
                self.queue.push(now_us + after_us, Event::Look { node, life });
            }
            Deed::Fetch(after_us, number) => {
                self.queue.push(now_us + after_us, Event::Fetch { node, life, number });
            }
        }
    }

    // The network.

    fn broadcast(&mut self, node: usize, lane: Lane, payload: &Bytes) {
        let Some(sender) = self.nodes.get(node) else { return };
        let (key, voting) = (sender.key, sender.part.voting);
        let is_consensus = matches!(lane, Lane::Votes | Lane::Bodies);
        let is_proposal = lane == Lane::Bodies || (is_consensus && stepped::is_proposal(payload));
        if voting == Voting::Mute && is_consensus {
            return;
        }
        if voting == Voting::Grinder && is_proposal && !self.suits(node) {
            *self.statistics.misdeeds.entry("a proposal that was not published").or_default() += 1;
            return;
        }
        for to in 0..self.nodes.len() {
            if self.nodes.get(to).is_none_or(|other| other.key == key) {
                continue;
            }
            let kept_back = match voting {
                Voting::Withholder if is_proposal => 400,
                Voting::Twins if is_consensus => 100,
                _ => 0,
            };
            if self.random.chance(kept_back) {
                continue;
            }
            self.send(node, to, lane, payload.clone());
            if voting == Voting::Equivocator && lane == Lane::Votes && self.random.chance(500) {
                self.equivocate(node, to, payload);
            }
        }
    }

    fn send(&mut self, node: usize, to: usize, lane: Lane, payload: Bytes) {
        let Some(from) = self.nodes.get(node).map(|node| endpoint(node.key)) else { return };
        for at_us in self.links.send(self.time.us(), node, to, Some(lane)) {
            let payload = payload.clone();
            self.queue.push(at_us, Event::Frame { to, from, lane, payload });
        }
    }

    fn frame(&mut self, to: usize, from: EndpointId, lane: Lane, payload: Bytes) {
        if self.nodes.get(to).is_some_and(|node| node.part.voting == Voting::Spammer) {
            if self.overheard.len() >= OVERHEARD_MAX {
                self.overheard.pop_front();
            }
            self.overheard.push_back((lane, payload.clone()));
        }
        if lane == Lane::Bodies
            && self.nodes.get(to).is_some_and(|node| node.part.voting == Voting::Spoiler)
            && !self.is_spoiled(from)
        {
            self.spoil(to, &payload);
        }
        let life = self.life(to);
        self.with(to, life, |running, deeds| match lane {
            Lane::Votes | Lane::Bodies => {
                running.engine(Input::Frame { from, lane, payload }, deeds)
            }
            Lane::Transactions => running.transactions(&payload, deeds),
        });
    }

    fn ask(&mut self, node: usize, life: u32, peer: EndpointId, number: u64, question: Question) {
        let now_us = self.time.us();
        let timeout = Event::Answer { to: node, life, number, body: None };
        self.queue.push(now_us + ANSWER_US_MAX, timeout);
        let holder = self.nodes.iter().position(|n| endpoint(n.key) == peer && n.running.is_some());
        let Some(to) = holder else { return };
        for at_us in self.links.send(now_us, node, to, None).into_iter().take(1) {
            let question = question.clone();
            self.queue.push(at_us, Event::Question { to, from: node, life, number, question });
        }
    }

    fn question(&mut self, to: usize, from: usize, life: u32, number: u64, question: &Question) {
        let Some(running) = self.nodes.get(to).and_then(|node| node.running.as_ref()) else {
            return;
        };
        let body = match question {
            Question::Blocks(body) => running.answer_blocks(body),
            Question::File(blob) => Ok(running.file(blob)),
        };
        let lies = self.nodes.get(to).is_some_and(|node| !node.part.is_honest());
        match body {
            Ok(body) => {
                let body = if lies { self.alter(body) } else { body };
                for at_us in self.links.send(self.time.us(), to, from, None).into_iter().take(1) {
                    let body = body.clone();
                    self.queue.push(at_us, Event::Answer { to: from, life, number, body });
                }
            }
            Err(fault) => self.stopped(to, &Failure::Fault(fault)),
        }
    }

    fn tick(&mut self, node: usize, life: u32) {
        if self.life(node) != life || self.nodes.get(node).is_none_or(|n| n.running.is_none()) {
            return;
        }
        self.queue.push(self.time.us() + TICK_US, Event::Tick { node, life });
        self.with(node, life, |running, deeds| running.tick(deeds));
        if self.nodes.get(node).is_some_and(|n| n.part.voting == Voting::Spammer) {
            self.spam(node);
        }
    }
}

/// Shows the auditor a block that a node has.
fn look(
    auditor: &mut Auditor,
    trace: &mut Trace,
    nodes: &[Node],
    node: usize,
    reader: &Reader,
    height: Height,
    now_us: u64,
) {
    let Ok(Some((block, certificate))) = reader.decided(height) else {
        let what = format!("node {node} cannot read back height {height}");
        return auditor.violated("what was acknowledged stays", now_us, what);
    };
    if auditor.height() < height {
        let round = certificate.round;
        trace.line(now_us, format!("height {height} in round {round}, first on node {node}"));
    }
    let output = |hash: &Hash| nodes.iter().find_map(|node| node.disk.blobs.get(hash));
    auditor.committed(node, certificate.block, &block, now_us, output);
}
