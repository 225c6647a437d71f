//! Reading while blocks are committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use althing_ledger::{audit, keys};
use althing_state::View as _;
use althing_types::{Amount, Height};
use common::{World, account, transfer};

#[test]
fn an_old_view_stays_as_it_was() {
    let mut world = World::new(1);
    let reader = world.nodes[0].replica.reader();
    let mut kept = Vec::new();
    for n in 0..10_u64 {
        let view = reader.view();
        let all = view.range(b"", None, 1_000).unwrap();
        kept.push((view, all));
        // New keys, changed keys.
        world.ask(&account(n % 3), transfer(&account(20 + n), 1_000));
        world.round();
    }
    for (view, all) in kept.iter().rev() {
        assert_eq!(&view.range(b"", None, 1_000).unwrap(), all);
        for (key, value) in all {
            assert_eq!(view.read(key).unwrap().as_ref(), Some(value));
        }
        audit(view).unwrap();
    }
    let newcomer = keys::account(&account(29).address());
    assert_eq!(kept[0].0.read(&newcomer).unwrap(), None);
    assert!(reader.view().read(&newcomer).unwrap().is_some());
}

#[test]
fn pages_of_an_old_view_skip_and_repeat_nothing() {
    let mut world = World::new(1);
    let view = world.nodes[0].replica.reader().view();
    let all = view.range(b"a", None, 1_000).unwrap();
    for n in 0..20 {
        world.ask(&account(0), transfer(&account(40 + n), 1_000));
    }
    world.round();
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = view.range(b"a", after.as_deref(), 3).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

#[test]
fn readers_beside_commits_see_whole_heights() {
    let mut world = World::new(1);
    let reader = world.nodes[0].replica.reader();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (reader.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut audits = 0_u64;
                loop {
                    let last = done.load(Ordering::SeqCst);
                    let head = reader.head();
                    let totals = audit(&head.view).unwrap();
                    assert_eq!(totals.supply, Amount::from_tokens(11_100));
                    if let Some(header) = &head.header {
                        assert_eq!(head.view.root(), header.state_root);
                    }
                    audits += 1;
                    if last {
                        return (audits, head.tip.height);
                    }
                }
            })
        })
        .collect();
    for n in 0..300_u64 {
        for m in 0..4 {
            world.ask(&account((n + m) % 10), transfer(&account((n * m) % 50), 1_000));
        }
        world.round();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        let (audits, height) = reader.join().unwrap();
        assert!(audits > 1);
        assert_eq!(height, Height(300));
    }
}
