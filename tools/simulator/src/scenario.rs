//! What a simulation is told: who takes part, what goes wrong and when.
//!
//! - A scenario is data: equal scenarios give equal runs, and a failing one can be made smaller.
//! - [`Scenario::from_seed`] stays within what the network promises to bear: less than a third of the
//!   stake is dishonest or gone for good, and no committee's quorum can be bought.

use std::fmt;

use althing_replica::context::PART_BYTES;

use crate::defect::Defect;
use crate::random::Random;

/// How a node goes about its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// As the protocol says.
    Honest,
    /// Alters a share of its results, in percent.
    Liar(u8),
    /// Alters its results together with others of its ring, in the same way.
    Colluder,
    /// Copies others' seals and answers.
    Copier,
    /// Takes assignments and is never heard of.
    Mute,
    /// Seals and never opens.
    Withholder,
    /// Opens its seals at the last moment, or after it.
    LateRevealer,
    /// Has its programs asked for what a block that is still open asks for: a mistake, for a control.
    Hasty,
}

/// How a node goes about consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voting {
    /// As the protocol says.
    Honest,
    /// Votes twice, to some.
    Equivocator,
    /// Runs twice under one key: two proposals, two votes.
    Twins,
    /// Sends its proposals to some only.
    Withholder,
    /// Publishes only those of its proposals that suit it.
    Grinder,
    /// Sends garbage, stale and altered frames.
    Spammer,
    /// Passes on others' blocks at once, under their seals, with other bytes.
    Spoiler,
    /// Says nothing.
    Mute,
}

/// How a node goes about telling what it observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Emitting {
    /// It tells what it sees.
    Honest,
    /// Together with others of its kind it alters some of what it sees, and invents more.
    Forger,
    /// Its measurements are off by this many hundredths.
    Drifter(i16),
    /// It tells nothing.
    Mute,
    /// It tells when the window is over.
    Late,
}

impl Emitting {
    /// Whether it says what is not so.
    #[must_use]
    pub const fn lies(self) -> bool {
        matches!(self, Self::Forger | Self::Drifter(_))
    }
}

/// A node's part in the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// At work.
    pub work: Work,
    /// In consensus.
    pub voting: Voting,
    /// Of events.
    pub emitting: Emitting,
}

impl Part {
    /// An honest node.
    pub const HONEST: Self =
        Self { work: Work::Honest, voting: Voting::Honest, emitting: Emitting::Honest };

    /// Whether the node does what the protocol says.
    #[must_use]
    pub fn is_honest(self) -> bool {
        self == Self::HONEST
    }
}

/// What goes wrong at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A node loses its power, and what was not synced; it starts again.
    Crash {
        /// The node.
        node: usize,
        /// For how long.
        down_ms: u64,
    },
    /// A node loses everything but its keys. It may vote twice: it counts as dishonest.
    Amnesia {
        /// The node.
        node: usize,
    },
    /// Two groups of nodes do not hear each other.
    Partition {
        /// One group, by bits.
        group: u32,
        /// For how long.
        lasts_ms: u64,
    },
    /// Frames are lost.
    Loss {
        /// How many of a thousand.
        per_mille: u32,
        /// For how long.
        lasts_ms: u64,
    },
    /// Frames come late, and so in another order.
    Delay {
        /// By up to this.
        up_to_ms: u64,
        /// For how long.
        lasts_ms: u64,
    },
    /// Frames come twice.
    Duplicates {
        /// How many of a thousand.
        per_mille: u32,
        /// For how long.
        lasts_ms: u64,
    },
    /// A later write of a node's store fails.
    StoreFails {
        /// The node.
        node: usize,
        /// Which write from now, counted from one.
        write: u64,
        /// It reached the disk all the same.
        unacknowledged: bool,
    },
    /// A later sync of a node's consensus log fails.
    LogFails {
        /// The node.
        node: usize,
        /// Which sync from now, counted from one.
        sync: u64,
    },
    /// A later write of a node's journal of work fails.
    JournalFails {
        /// The node.
        node: usize,
        /// Which write from now, counted from one.
        write: u64,
    },
    /// The power of a node fails while a block of its own is open: it has said its answers, and the block
    /// is not kept.
    BlockFails {
        /// The node.
        node: usize,
        /// Which block with answers from now, counted from one.
        block: u64,
    },
    /// A node's disk acknowledges flushes of outputs, and forgets them when the power is lost: what no node
    /// can bear. Its node counts as sound, so that it is seen to be caught.
    OutputsLie {
        /// The node.
        node: usize,
    },
    /// A bit of a node's consensus log turns while it is off.
    LogRots {
        /// The node.
        node: usize,
        /// Which bit.
        bit: u64,
    },
    /// A node's disk acknowledges syncs of the consensus log, and forgets what they were for when the
    /// power is lost: what no node can bear. Its node counts as sound, so that it is seen to be caught.
    LogLies {
        /// The node.
        node: usize,
    },
    /// A bit of a node's state turns.
    StateRots {
        /// The node.
        node: usize,
    },
    /// A node's clock is wrong from now on.
    ClockStep {
        /// The node.
        node: usize,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
}

impl Kind {
    /// A word for statistics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "power loss",
            Self::Amnesia { .. } => "total loss",
            Self::Partition { .. } => "partition",
            Self::Loss { .. } => "loss of frames",
            Self::Delay { .. } => "delay and reordering",
            Self::Duplicates { .. } => "duplicates",
            Self::StoreFails { .. } => "failed store write",
            Self::LogFails { .. } => "failed log sync",
            Self::JournalFails { .. } => "failed journal write",
            Self::BlockFails { .. } => "power loss in an open block",
            Self::OutputsLie { .. } => "a disk that forgets outputs that it acknowledged",
            Self::LogRots { .. } => "bit flip in the log",
            Self::LogLies { .. } => "a log that forgets what it acknowledged",
            Self::StateRots { .. } => "bit flip in the state",
            Self::ClockStep { .. } => "clock step",
        }
    }
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
}

/// Everything that a simulation depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// All chance of the run.
    pub seed: u64,
    /// Each node's stake in tokens at the start; without one, it bonds later.
    pub powers: Vec<u64>,
    /// Each node's part.
    pub parts: Vec<Part>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// When the last fault ends, and every node that can is started again.
    pub heal_ms: u64,
    /// How long the network then has to show that everything comes to an end.
    pub calm_ms: u64,
    /// A user does something about this often.
    pub user_every_ms: u64,
    /// Checkers that calls ask for; each call takes one of these.
    pub checkers: Vec<u16>,
    /// Honest nodes change their stakes now and then: the validator set changes.
    pub churn: bool,
    /// Something happens outside about this often, in milliseconds.
    pub outside_every_ms: u64,
    /// Checkers of every step of the applications.
    pub step_checkers: u16,
    /// Answers of programs that are lost, of a thousand.
    pub answers_lost_per_mille: u32,
    /// Length of the pieces of a block's body, in bytes.
    pub part_bytes: usize,
    /// A mistake that the ledger is to seem to have.
    pub defect: Option<Defect>,
}

impl Scenario {
    /// Honest nodes of equal stake, nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            powers: vec![1_000; nodes],
            parts: vec![Part::HONEST; nodes],
            faults: Vec::new(),
            heal_ms: 20_000,
            calm_ms: crate::setting::execution_ms_max() + 30_000,
            user_every_ms: 2_000,
            checkers: vec![0, 2, 3],
            churn: false,
            outside_every_ms: 4_000,
            step_checkers: u16::try_from(nodes.saturating_sub(1).min(2)).unwrap_or(0),
            answers_lost_per_mille: 0,
            part_bytes: PART_BYTES,
            defect: None,
        }
    }

    /// A network, its dishonest nodes and its misfortunes, within what it promises to bear.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed).fork();
        let nodes = if random.chance(150) { random.between(1, 3) } else { random.between(4, 7) };
        let nodes = usize::try_from(nodes).unwrap_or(4);
        let mut scenario = Self::calm(seed, nodes);
        if random.chance(500) {
            for power in &mut scenario.powers {
                *power = random.between(600, 1_400);
            }
        }
        scenario.churn = random.chance(400);
        if scenario.churn && nodes > 4 && random.chance(500) {
            scenario.powers.iter_mut().take(1).for_each(|power| *power = 0);
        }
        let total: u64 = scenario.powers.iter().sum();
        // Dishonest, or gone for good: strictly less than a third of the stake together, and less than
        // a quarter where others may take stake away.
        let part = if scenario.churn { 4 } else { 3 };
        let mut bad: Vec<usize> = Vec::new();
        let mut candidates: Vec<usize> = (0..nodes).collect();
        let wanted = random.below(3);
        while (bad.len() as u64) < wanted && !candidates.is_empty() {
            let node = candidates.swap_remove(random.place(candidates.len()));
            let power: u64 =
                bad.iter().chain([&node]).filter_map(|n| scenario.powers.get(*n)).sum();
            if power * part < total {
                bad.push(node);
            }
        }
        scenario.heal_ms = random.between(30, 120) * 1_000;
        scenario.user_every_ms = random.between(500, 4_000);
        let mut broken = Vec::new();
        for node in bad {
            if random.chance(700) {
                if let Some(part) = scenario.parts.get_mut(node) {
                    *part = dishonest(&mut random);
                }
            } else {
                broken.push(node);
            }
        }
        scenario.set_checkers();
        scenario.misfortunes(&mut random, &broken);
        scenario.outside(&mut Random::new(!seed).fork());
        scenario.open_blocks(&mut Random::new(seed.rotate_left(32)).fork());
        scenario
    }

    /// Honest nodes lose their power in the middle of blocks of theirs.
    fn open_blocks(&mut self, random: &mut Random) {
        if !random.chance(500) {
            return;
        }
        let honest = |node: &usize| self.parts.get(*node).is_some_and(|part| part.is_honest());
        let honest: Vec<usize> = (0..self.parts.len()).filter(honest).collect();
        for _ in 0..random.between(2, 8) {
            let at_ms = random.between(6_000, self.heal_ms - 5_000);
            let Some(node) = random.pick(&honest).copied() else { return };
            let kind = Kind::BlockFails { node, block: random.between(1, 3) };
            self.faults.push(Fault { at_ms, kind });
        }
        self.faults.sort_unstable();
    }

    /// What the applications meet: emitters of several kinds, programs that do not answer.
    fn outside(&mut self, random: &mut Random) {
        let nodes = self.parts.len();
        self.outside_every_ms = random.between(2_000, 8_000);
        self.answers_lost_per_mille = if random.chance(500) { 60 } else { 0 };
        if random.chance(200) {
            self.part_bytes = 700;
        }
        let fits = |checkers: &u16| usize::from(*checkers) < nodes;
        let fitting: Vec<u16> = self.checkers.iter().copied().filter(fits).collect();
        let least = self.checkers.first().copied().unwrap_or_default();
        self.step_checkers = random.pick(&fitting).copied().unwrap_or(least);
        let mut bad: Vec<usize> = (0..nodes).filter(|node| !self.is_sound(*node)).collect();
        if bad.is_empty() && nodes > 3 && random.chance(400) {
            bad.push(random.place(nodes));
        }
        for node in bad {
            let emitting = emitting(random);
            if let Some(part) = self.parts.get_mut(node)
                && random.chance(600)
            {
                part.emitting = emitting;
            }
        }
    }

    /// Calls are checked by so many that the dishonest cannot be a quorum.
    fn set_checkers(&mut self) {
        let liars = self.parts.iter().filter(|part| !part.is_honest()).count();
        self.checkers = match liars {
            0 => vec![0, 1, 2, 3],
            1 => vec![2, 3],
            _ => vec![4],
        };
    }

    fn misfortunes(&mut self, random: &mut Random, broken: &[usize]) {
        let nodes = self.parts.len();
        let honest: Vec<usize> = (0..nodes)
            .filter(|n| self.parts.get(*n).is_some_and(|part| part.is_honest()))
            .collect();
        // Most networks have a few misfortunes; some have one after the other.
        let storm = random.chance(250);
        let count = if storm { random.between(20, 60) } else { random.between(0, 14) };
        let loss_max = if storm { 700 } else { 300 };
        let last = self.heal_ms - 5_000;
        for _ in 0..count {
            let at_ms = random.between(1_000, last);
            let longest_ms = if random.chance(200) { 60_000 } else { 15_000 };
            let lasts_ms = random.between(200, longest_ms).min(self.heal_ms - at_ms);
            let node = honest.get(random.place(honest.len())).copied().unwrap_or_default();
            let kind = match random.below(12) {
                0 | 1 => Kind::Crash { node, down_ms: random.between(0, 10_000) },
                2 => {
                    // Again and again, at every stage of a height.
                    for again in 1..random.between(3, 12) {
                        let at_ms = at_ms + again * random.between(60, 400);
                        let kind = Kind::Crash { node, down_ms: random.between(0, 200) };
                        self.faults.push(Fault { at_ms: at_ms.min(last), kind });
                    }
                    Kind::Crash { node, down_ms: 50 }
                }
                3 | 4 => {
                    let groups = (1 << nodes) - 2;
                    let group = u32::try_from(random.between(1, groups.max(1))).unwrap_or(1);
                    Kind::Partition { group, lasts_ms }
                }
                5 => {
                    let per_mille = u32::try_from(random.between(10, loss_max)).unwrap_or(10);
                    Kind::Loss { per_mille, lasts_ms }
                }
                6 => Kind::Delay { up_to_ms: random.between(50, 6_000), lasts_ms },
                7 => Kind::Duplicates { per_mille: 300, lasts_ms },
                8 => {
                    let unacknowledged = random.chance(500);
                    Kind::StoreFails { node, write: random.between(1, 20), unacknowledged }
                }
                9 => Kind::LogFails { node, sync: random.between(1, 20) },
                10 => Kind::JournalFails { node, write: random.between(1, 3) },
                _ => {
                    // A few seconds, or an hour for one node of many: the chain's time is that of two
                    // thirds, and stands still for as long as they were ahead.
                    let hour = nodes > 3 && honest.first() == Some(&node);
                    let most = if hour { 3_600_000 } else { 4_000 };
                    let by_ms = i64::try_from(random.below(2 * most)).unwrap_or(0)
                        - i64::try_from(most).unwrap_or(0);
                    Kind::ClockStep { node, by_ms }
                }
            };
            self.faults.push(Fault { at_ms, kind });
        }
        if random.chance(150) {
            // Everybody at once.
            let at_ms = random.between(1_000, last);
            for node in honest {
                let down_ms = random.between(0, 5_000);
                self.faults.push(Fault { at_ms, kind: Kind::Crash { node, down_ms } });
            }
        }
        for node in broken {
            let (node, at_ms) = (*node, random.between(1_000, last));
            let kind = match random.below(3) {
                0 => Kind::Amnesia { node },
                1 => Kind::LogRots { node, bit: random.number() },
                _ => Kind::StateRots { node },
            };
            self.faults.push(Fault { at_ms, kind });
        }
        self.faults.sort_unstable();
    }

    /// Nodes that need not be there in the end: dishonest, rotten, or without memory.
    #[must_use]
    pub fn is_sound(&self, node: usize) -> bool {
        let broken = self.faults.iter().any(|fault| match fault.kind {
            Kind::Amnesia { node: n }
            | Kind::LogRots { node: n, .. }
            | Kind::StateRots { node: n } => n == node,
            _ => false,
        });
        self.parts.get(node).is_some_and(|part| part.is_honest()) && !broken
    }

    /// The simulated time of a run, in milliseconds.
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        self.heal_ms + self.calm_ms
    }
}

fn emitting(random: &mut Random) -> Emitting {
    match random.below(6) {
        0..=2 => Emitting::Forger,
        3 => Emitting::Drifter(random.pick(&[80, 50, -50]).copied().unwrap_or(80)),
        4 => Emitting::Mute,
        _ => Emitting::Late,
    }
}

fn dishonest(random: &mut Random) -> Part {
    const AT_WORK: [Work; 7] = [
        Work::Liar(100),
        Work::Liar(40),
        Work::Colluder,
        Work::Copier,
        Work::Mute,
        Work::Withholder,
        Work::LateRevealer,
    ];
    const AT_VOTING: [Voting; 7] = [
        Voting::Equivocator,
        Voting::Twins,
        Voting::Withholder,
        Voting::Grinder,
        Voting::Spammer,
        Voting::Spoiler,
        Voting::Mute,
    ];
    let work = random.pick(&AT_WORK).copied().unwrap_or(Work::Mute);
    let voting = random.pick(&AT_VOTING).copied().unwrap_or(Voting::Mute);
    match random.below(3) {
        0 => Part { work, ..Part::HONEST },
        1 => Part { voting, ..Part::HONEST },
        _ => Part { work, voting, ..Part::HONEST },
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, voting, emitting } = self;
        write!(f, "{work:?} at work, {voting:?} in consensus, {emitting:?} of events")
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} nodes of {:?} tokens, {} s of trouble, {} s of calm, a user every {} ms, checkers {:?}, of steps {}, something outside every {} ms, {} of 1000 answers lost, pieces of {} bytes{}",
            self.seed,
            self.parts.len(),
            self.powers,
            self.heal_ms / 1_000,
            self.calm_ms / 1_000,
            self.user_every_ms,
            self.checkers,
            self.step_checkers,
            self.outside_every_ms,
            self.answers_lost_per_mille,
            self.part_bytes,
            if self.churn { ", stakes change" } else { "" },
        )?;
        for (node, part) in self.parts.iter().enumerate().filter(|(_, part)| !part.is_honest()) {
            writeln!(f, "  node {node}: {part}")?;
        }
        if let Some(defect) = self.defect {
            writeln!(f, "  a ledger with a mistake: {defect:?}")?;
        }
        for Fault { at_ms, kind } in &self.faults {
            writeln!(f, "  {:>8.3} s  {kind:?}", *at_ms as f64 / 1e3)?;
        }
        Ok(())
    }
}
