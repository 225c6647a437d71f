//! What a height costs, and how long a node with a million keys takes to trust its store again after
//! a `kill -9`.
//!
//! `cargo run --release -p althing-store-redb --example restart [FOLDER]`
//!
//! A child process fills the store, measures, and kills itself without closing anything; then the
//! store is opened, its tree built from the values, and the root compared. CPU times are Linux's.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, abort};
use std::time::Instant;
use std::{env, fs};

use althing_replica::store::{Commit, Store as _, StoredProposal, Tip};
use althing_state::Tree;
use althing_store_redb::RedbStore;
use althing_types::{Hash, Height, keccak};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 200;
const BLOCK_BYTES: usize = 100_000;

type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [mode, folder] = arguments.as_slice()
        && mode == "--fill"
    {
        let store = RedbStore::open(Path::new(folder))?;
        fill(&store)?;
        // The store is still open: nothing is closed or flushed.
        abort();
    }
    let folder =
        arguments.first().map_or_else(|| env::temp_dir().join("althing-restart"), Into::into);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let child = Command::new(env::current_exe()?).arg("--fill").arg(&folder).status()?;
    if child.code().is_some() {
        return Err("the child ended by itself instead of being killed".into());
    }
    println!("restart after the kill:");
    let (all, cpu) = (Instant::now(), process_cpu_ms());
    let store = measured("  open", || RedbStore::open(&folder))?;
    let tree = measured("  tree from the values", || store.boot_tree())?;
    let tip = store.tip()?.ok_or("no tip")?;
    if tip.state_root != tree.root() || tree.len() as u64 != KEYS {
        return Err("the root differs".into());
    }
    println!(
        "  until the root is compared: {} ms, {} ms CPU",
        all.elapsed().as_millis(),
        process_cpu_ms() - cpu
    );
    drop(tree);
    let leaves = measured("leaves alone", || store.leaves())?;
    measured("tree from leaves, one thread", || Ok(Tree::from_leaves(&leaves)))?;
    drop(store);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Runs, and prints how long it took.
fn measured<T>(
    what: &str,
    run: impl FnOnce() -> Result<T, althing_replica::store::StoreError>,
) -> Result<T, Box<dyn Error>> {
    let (start, cpu) = (Instant::now(), process_cpu_ms());
    let result = run()?;
    println!("{what}: {} ms, {} ms CPU", start.elapsed().as_millis(), process_cpu_ms() - cpu);
    Ok(result)
}

fn fill(store: &RedbStore) -> Result<(), Box<dyn Error>> {
    let mut tree = Tree::default();
    let mut height = 0;
    for first in (0..KEYS).step_by(50_000) {
        commit(store, &mut tree, height, &writes(first..first + 50_000, height))?;
        height += 1;
    }
    println!("a height with its block of {BLOCK_BYTES} bytes, mean of 20:");
    for count in [10_u64, 1000, 10_000] {
        let (mut wall_us, mut cpu_us, mut tree_us) = (0, 0, 0);
        // What the commits before left to be freed is not this one's cost.
        for n in 0..3 {
            commit(store, &mut tree, height, &writes(n..n + 1, height))?;
            height += 1;
        }
        for round in 0..20 {
            let spread = (0..count).map(|n| (n * 7919 + round * 104_729) % KEYS);
            let writes = writes(spread, height);
            let before = thread_cpu_us();
            tree.update_writes(&writes);
            let between = thread_cpu_us();
            tree_us += between - before;
            wall_us += commit_only(store, &tree, height, &writes)?;
            cpu_us += thread_cpu_us() - between;
            height += 1;
        }
        let store_us = cpu_us / 20;
        println!(
            "  {count} puts: commit {} us, {store_us} us CPU; tree {} us CPU",
            wall_us / 20,
            tree_us / 20
        );
    }
    let (start, cpu) = (Instant::now(), thread_cpu_us());
    for n in 0..50_u8 {
        let id = Hash([n; 32]);
        let block = vec![n; BLOCK_BYTES];
        store.keep_proposal(&StoredProposal {
            height: Height(height + u64::from(n)),
            id,
            block,
        })?;
    }
    println!(
        "  proposal: {} us, {} us CPU",
        start.elapsed().as_micros() / 50,
        (thread_cpu_us() - cpu) / 50
    );
    let keys: Vec<Vec<u8>> = (0..100_000).map(|n| key(n * 7919 % KEYS)).collect();
    let (start, cpu) = (Instant::now(), thread_cpu_us());
    for key in &keys {
        store.read(key)?.ok_or("a key is missing")?;
    }
    let per_read = |us: u128| us * 1000 / keys.len() as u128;
    let cpu = u128::from(thread_cpu_us() - cpu);
    println!("  read: {} ns, {} ns CPU", per_read(start.elapsed().as_micros()), per_read(cpu));
    Ok(())
}

fn key(n: u64) -> Vec<u8> {
    keccak(&[&n.to_be_bytes()]).0.to_vec()
}

fn writes(keys: impl Iterator<Item = u64>, height: u64) -> Writes {
    let value = |n: u64| -> Vec<u8> {
        keccak(&[&n.to_be_bytes(), &height.to_be_bytes()])
            .0
            .into_iter()
            .cycle()
            .take(VALUE_BYTES)
            .collect()
    };
    keys.map(|n| (key(n), Some(value(n)))).collect()
}

fn commit(
    store: &RedbStore,
    tree: &mut Tree,
    height: u64,
    writes: &Writes,
) -> Result<(), Box<dyn Error>> {
    tree.update_writes(writes);
    commit_only(store, tree, height, writes)?;
    Ok(())
}

/// Returns the microseconds that the commit took.
fn commit_only(
    store: &RedbStore,
    tree: &Tree,
    height: u64,
    writes: &Writes,
) -> Result<u128, Box<dyn Error>> {
    let block = vec![7; BLOCK_BYTES];
    let tip = Tip { height: Height(height), block: keccak(&[&block]), state_root: tree.root() };
    let start = Instant::now();
    store.commit(Commit { tip, block: &block, certificate: &[1; 500], writes, archive: &[] })?;
    Ok(start.elapsed().as_micros())
}

/// CPU time of this process in milliseconds, in steps of ten; zero where there is no `/proc`.
fn process_cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

/// CPU time of this thread in microseconds; zero where there is no `/proc`.
fn thread_cpu_us() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1000
}
