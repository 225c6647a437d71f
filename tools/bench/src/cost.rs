//! What something costs: wall time, and CPU time as Linux counts it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat` in a second: fixed in the interface of Linux, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;
/// How often [`of_each`] begins anew.
const BATCHES: u32 = 20;

/// Wall and CPU time of something, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall_us: f64,
    pub(crate) cpu_us: f64,
}

/// Runs on this thread, and counts this thread's time alone.
pub(crate) fn of_thread<T>(run: impl FnOnce() -> T) -> Cost {
    let (start, before) = (Instant::now(), thread_cpu_us());
    std::hint::black_box(run());
    Cost { cpu_us: thread_cpu_us() - before, wall_us: start.elapsed().as_secs_f64() * 1e6 }
}

/// What one of many runs costs: `count` in a row, several times over. Of the wall times the least
/// counts, since the others measured the neighbours on the same cores; of the CPU time the mean,
/// since Linux tells it in steps.
pub(crate) fn of_each(count: u32, mut run: impl FnMut()) -> Cost {
    let (mut best_us, before) = (f64::INFINITY, thread_cpu_us());
    for _ in 0..BATCHES {
        let start = Instant::now();
        (0..count).for_each(|_| run());
        best_us = best_us.min(start.elapsed().as_secs_f64() * 1e6);
    }
    let cpu_us = (thread_cpu_us() - before) / f64::from(BATCHES);
    Cost { wall_us: best_us / f64::from(count), cpu_us: cpu_us / f64::from(count) }
}

/// CPU time of this thread; zero where there is no `/proc`.
fn thread_cpu_us() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e3
}

/// CPU time that a process has used so far, with all its threads, in steps of 10 ms.
pub(crate) fn process_cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("reading the CPU time of process {pid}"))?;
    // The name before it may hold spaces; its closing bracket is the last one.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// What a process has in memory, in MiB.
pub(crate) fn process_memory_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("reading the memory of process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("a process tells its memory")? / 1024.0)
}

/// The value below which `share` of the sorted values lie; zero if there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list is small and not negative"
    )]
    let place = ((sorted.len() as f64) * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_costs_cpu_time() {
        let cost = of_thread(|| {
            (0..30_000_000_u64).fold(1_u64, |a, n| a.rotate_left(3) ^ std::hint::black_box(n))
        });
        assert!(cost.cpu_us > 0.0 && cost.wall_us > 0.0);
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let list: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| quantile(&list, share)), [51.0, 100.0, 100.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
