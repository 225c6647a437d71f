//! Committees: drawn, filled up, replaced, and moved from phase to phase.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Hash, TimeMs, Verification};

use crate::books::decode;
use crate::execution::{
    Conclusion, DrawRecord, Member, MemberState, Offence, Phase, Reason, Role, Step,
};
use crate::record::{Due, OfferRecord, OfferStatus};
use crate::reputation::weight;
use crate::{
    Candidate, Execution, Ledger, Roster, draw, draw_seed, keys, settlement, standstill, verdict,
};

/// Most offers of one service: what a draw can weigh.
pub(crate) const OFFERS_MAX: u32 = 1_000;

/// How many times one committee is filled up: an execution's record, and the patience of who waits
/// for it, are bounded however many nodes are silent.
const REFILLS_MAX: u32 = 8;

/// How many times a draw without enough candidates is tried within its window.
const DRAW_TRIES: u32 = 8;

/// Everybody who offers a service now. Who is suspended or leaves weighs nothing and cannot be drawn;
/// it is there for its owner, whose other nodes must not join it in a committee.
pub(crate) fn roster<V: View>(ledger: &Ledger<'_, V>, service: &Hash) -> Result<Roster, Fault> {
    let parameters = &ledger.parameters;
    let now = ledger.block.time;
    let limit = usize::try_from(OFFERS_MAX).unwrap_or(usize::MAX);
    let mut candidates = Vec::new();
    for (key, bytes) in ledger.state().range(&keys::offers(service), None, limit)? {
        let offer: OfferRecord = decode(&key, &bytes)?;
        let node = key.last_chunk::<20>().map(|bytes| Address(*bytes)).unwrap_or_default();
        let active = offer.status == OfferStatus::Active;
        let done = offer.executor.done.saturating_add(offer.checker.done);
        candidates.push(Candidate {
            node,
            owner: offer.owner,
            weight: if active { weight(&offer, now, parameters) } else { 0 },
            newcomer: active && done < parameters.newcomer_until,
            labels: offer.labels,
        });
    }
    let newcomers_share = parameters.newcomers_share;
    Ok(Roster { service: *service, height: ledger.block.height, newcomers_share, candidates })
}

/// Opens an execution: its turn to be drawn comes with the next block, whose beacon nobody knows yet.
///
/// Where one executor is wanted, unchecked, and one node alone can be drawn, chance decides nothing:
/// that node is seated at once, and the execution ends a block earlier.
pub(crate) fn begin<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: Execution,
) -> Result<(), Fault> {
    if execution.checkers == 0 && is_decided(ledger, &execution)? {
        return form(ledger, execution);
    }
    let now = ledger.block.time;
    await_until(ledger, execution, now)
}

/// Whether exactly one node can be drawn, and is still in office: the candidates were fixed when the
/// block first asked for them.
fn is_decided<V: View>(ledger: &mut Ledger<'_, V>, execution: &Execution) -> Result<bool, Fault> {
    let (_, roster) = ledger.roster(&execution.service)?;
    let allowed = execution.restriction();
    let can_sit = |candidate: &&Candidate| candidate.weight > 0 && allowed.admits(candidate);
    let mut candidates = roster.candidates.iter().filter(can_sit);
    let (Some(only), None) = (candidates.next(), candidates.next()) else { return Ok(false) };
    let offer = ledger.offer(&execution.service, &only.node)?;
    Ok(offer.is_some_and(|offer| offer.status == OfferStatus::Active))
}

/// Moves an execution on whose deadline has passed, or whose turn to be drawn has come.
pub(crate) fn on_deadline<V: View>(ledger: &mut Ledger<'_, V>, id: Hash) -> Result<(), Fault> {
    let Some(mut execution) = ledger.execution(&id)? else { return Ok(()) };
    if let Some(window_ms) = window_ms(ledger, &execution)
        && let Some(due) = standstill::prolonged(&ledger.block, execution.due, window_ms)
    {
        ledger.note(id, Step::Prolonged);
        return await_until(ledger, execution, due);
    }
    match execution.phase {
        Phase::Created => form(ledger, execution),
        Phase::Working | Phase::Checking => replace_absent(ledger, execution),
        Phase::Revealing => {
            for member in &mut execution.members {
                if let MemberState::Sealed(commitment) = member.state {
                    member.state = MemberState::Withheld(commitment);
                }
            }
            verdict::judge(ledger, execution)
        }
        Phase::Settled => {
            Err(Fault { what: "a settled execution is due", key: keys::execution(&id) })
        }
    }
}

/// How long those of whom something is asked now have for telling the ledger what they know; `None`
/// where nobody is asked, and nobody fined.
fn window_ms<V: View>(ledger: &Ledger<'_, V>, execution: &Execution) -> Option<u64> {
    match execution.phase {
        Phase::Created | Phase::Settled => None,
        Phase::Working | Phase::Checking => Some(ledger.parameters.seal_window_ms),
        Phase::Revealing => Some(ledger.parameters.reveal_window_ms),
    }
}

/// Sets the deadline of an execution that is already without one, and keeps it.
fn await_until<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
    due: TimeMs,
) -> Result<(), Fault> {
    execution.due = due;
    ledger.plan(due, &Due::Execution(execution.id));
    ledger.keep(execution)
}

/// As [`await_until`], in place of an earlier deadline.
fn move_deadline<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: Execution,
    due: TimeMs,
) -> Result<(), Fault> {
    ledger.unplan(execution.due, &Due::Execution(execution.id));
    await_until(ledger, execution, due)
}

/// Until when work that begins now has to be sealed.
fn work_deadline<V: View>(ledger: &Ledger<'_, V>, execution: &Execution) -> TimeMs {
    ledger
        .block
        .time
        .after(ledger.parameters.seal_window_ms)
        .after(u64::from(execution.time_limit_ms))
}

/// How many seats the present round has to fill, and how many it can do with.
fn seats(execution: &Execution) -> (u32, u32) {
    let all = u32::from(execution.checkers).saturating_add(1);
    match (execution.round, execution.verification) {
        _ if execution.checkers == 0 => (1, 1),
        (0, _) | (_, Verification::Method) => (all, all),
        // The votes of the earlier rounds count on; whoever comes makes the committee larger.
        (_, Verification::Deterministic | Verification::None) => (all.saturating_add(1), 1),
    }
}

/// Who cannot be drawn again for this execution.
fn excluded(execution: &Execution) -> Vec<Address> {
    let barred = |member: &&Member| match execution.verification {
        Verification::Deterministic | Verification::None => true,
        Verification::Method => {
            member.round == execution.round
                || member.role == Role::Executor
                || member.offence.is_some()
        }
    };
    execution.members.iter().filter(barred).map(|member| member.node).collect()
}

fn draw_more<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    seats: u32,
) -> Result<Vec<Address>, Fault> {
    let (roster_hash, roster) = ledger.roster(&execution.service)?;
    let excluded = excluded(execution);
    let beacon = ledger.block.beacon;
    let seed = draw_seed(&beacon, &execution.id, execution.round, execution.refills);
    let count = usize::try_from(seats).unwrap_or(usize::MAX);
    let drawn = draw(&seed, &roster, &excluded, execution.restriction(), count);
    if !drawn.is_empty() {
        execution.draws.push(DrawRecord {
            round: execution.round,
            refill: execution.refills,
            height: ledger.block.height,
            beacon,
            roster: roster_hash,
            seats,
            excluded,
            drawn: drawn.clone(),
        });
    }
    Ok(drawn)
}

/// Draws the committee of the present round.
fn form<V: View>(ledger: &mut Ledger<'_, V>, mut execution: Execution) -> Result<(), Fault> {
    let (wanted, needed) = seats(&execution);
    let with_substitutes = wanted.saturating_add(u32::from(ledger.parameters.substitutes));
    let draws_before = execution.draws.len();
    let drawn = draw_more(ledger, &mut execution, with_substitutes)?;
    let enough = usize::try_from(needed).is_ok_and(|needed| drawn.len() >= needed);
    if !enough {
        execution.draws.truncate(draws_before);
        execution.refills = execution.refills.saturating_add(1);
        if execution.refills >= DRAW_TRIES {
            let reason = if execution.round == 0 { Reason::NoCandidates } else { Reason::NoQuorum };
            return settlement::settle(ledger, execution, Conclusion::Failed(reason));
        }
        let pause =
            ledger.parameters.draw_window_ms.checked_div(u64::from(DRAW_TRIES)).unwrap_or(0);
        let due = ledger.block.time.after(pause);
        return await_until(ledger, execution, due);
    }
    execution.refills = 0;
    let seated = usize::try_from(wanted).unwrap_or(usize::MAX);
    let asks_later = execution.verification == Verification::Method && execution.checkers > 0;
    let first_is_executor = execution.round == 0
        || execution.checkers == 0
        || execution.verification == Verification::Method;
    for (seat, node) in drawn.iter().enumerate().take(seated) {
        let executor = seat == 0 && first_is_executor;
        let role = if executor { Role::Executor } else { Role::Checker };
        let state =
            if asks_later && !executor { MemberState::Standby } else { MemberState::Assigned };
        join(&mut execution, *node, role, state);
    }
    execution.substitutes = drawn.into_iter().skip(seated).collect();
    execution.phase = Phase::Working;
    ledger.note(execution.id, Step::Drawn);
    let due = work_deadline(ledger, &execution);
    await_until(ledger, execution, due)
}

fn join(execution: &mut Execution, node: Address, role: Role, state: MemberState) {
    let round = execution.round;
    execution.members.push(Member {
        node,
        role,
        round,
        state,
        offence: None,
        fine: althing_types::Amount::ZERO,
        earned: althing_types::Amount::ZERO,
    });
}

/// Fines those who missed the deadline and seats substitutes; goes on without them if it can.
fn replace_absent<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    let round = execution.round;
    let participants = execution.participants();
    let mut gone = Vec::new();
    for (index, member) in execution.members.iter_mut().enumerate() {
        if member.round == round && member.state == MemberState::Assigned {
            member.state = MemberState::Absent;
            gone.push((index, member.node, member.role));
        }
    }
    let mut vacant = Vec::new();
    for (index, node, role) in gone {
        settlement::punish(ledger, &mut execution, index, Offence::Absence, participants, 1)?;
        if execution.substitutes.is_empty() {
            vacant.push((node, role));
        } else {
            let substitute = execution.substitutes.remove(0);
            seat_substitute(ledger, &mut execution, node, substitute, role);
        }
    }
    if !vacant.is_empty() && !can_decide(&execution) && execution.refills < REFILLS_MAX {
        fill_up(ledger, &mut execution, &vacant)?;
    }
    go_on(ledger, execution)
}

fn seat_substitute<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    from: Address,
    to: Address,
    role: Role,
) {
    join(execution, to, role, MemberState::Assigned);
    ledger.note(execution.id, Step::Reassigned { from, to });
}

/// Draws for the vacant seats from whoever is in office now.
fn fill_up<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    vacant: &[(Address, Role)],
) -> Result<(), Fault> {
    execution.refills = execution.refills.saturating_add(1);
    let seats = u32::try_from(vacant.len()).unwrap_or(u32::MAX);
    let drawn = draw_more(ledger, execution, seats)?;
    for (node, (absent, role)) in drawn.into_iter().zip(vacant) {
        seat_substitute(ledger, execution, *absent, node, *role);
    }
    Ok(())
}

/// Whether those who have sealed so far can reach a quorum.
fn can_decide(execution: &Execution) -> bool {
    let sealed =
        execution.committee().filter(|m| matches!(m.state, MemberState::Sealed(_))).count();
    let votes = match execution.verification {
        Verification::Deterministic | Verification::None => {
            sealed.saturating_add(verdict::earlier_votes(execution))
        }
        // The executor's own answer counts as one.
        Verification::Method if execution.phase == Phase::Checking => sealed.saturating_add(1),
        Verification::Method => 0,
    };
    votes >= usize::from(execution.quorum)
}

/// After a deadline: waits for the substitutes, opens the seals, or gives up.
fn go_on<V: View>(ledger: &mut Ledger<'_, V>, execution: Execution) -> Result<(), Fault> {
    if execution.committee().any(|member| member.state == MemberState::Assigned) {
        let due = work_deadline(ledger, &execution);
        return await_until(ledger, execution, due);
    }
    if can_decide(&execution) {
        return open_seals(ledger, execution, true);
    }
    settlement::settle(ledger, execution, Conclusion::Failed(Reason::TooFewMembers))
}

/// All have sealed, or all who will: now they open.
fn open_seals<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
    was_due: bool,
) -> Result<(), Fault> {
    execution.phase = Phase::Revealing;
    ledger.note(execution.id, Step::Revealing);
    let due = ledger.block.time.after(ledger.parameters.reveal_window_ms);
    if was_due {
        await_until(ledger, execution, due)
    } else {
        move_deadline(ledger, execution, due)
    }
}

/// Called after a seal: once nobody is missing, the seals are opened.
pub(crate) fn after_seal<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: Execution,
) -> Result<(), Fault> {
    if execution.committee().any(|member| member.state == MemberState::Assigned) {
        return ledger.keep(execution);
    }
    open_seals(ledger, execution, false)
}

/// Called after an opening: once all are open, the verdict falls.
pub(crate) fn after_reveal<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: Execution,
) -> Result<(), Fault> {
    if execution.committee().any(|member| matches!(member.state, MemberState::Sealed(_))) {
        return ledger.keep(execution);
    }
    ledger.unplan(execution.due, &Due::Execution(execution.id));
    verdict::judge(ledger, execution)
}

/// The executor has answered: the checkers apply the method.
pub(crate) fn ask_checkers<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    let round = execution.round;
    for member in execution.members.iter_mut().filter(|member| member.round == round) {
        if member.state == MemberState::Standby {
            member.state = MemberState::Assigned;
        }
    }
    execution.phase = Phase::Checking;
    let due = work_deadline(ledger, &execution);
    move_deadline(ledger, execution, due)
}

/// Draws again, with the beacon of the next block; the execution is without a deadline when this is
/// called.
pub(crate) fn draw_again<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    // Whoever was not asked has no part in what f(n) counts.
    for member in &mut execution.members {
        if member.state == MemberState::Standby {
            member.state = MemberState::Released;
        }
    }
    execution.round = execution.round.saturating_add(1);
    execution.refills = 0;
    execution.substitutes.clear();
    execution.phase = Phase::Created;
    ledger.note(execution.id, Step::Escalated);
    let due = ledger.block.time;
    await_until(ledger, execution, due)
}
