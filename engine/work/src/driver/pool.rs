//! Threads that compute: the sandbox's short tasks, one after another, without one being woken for each.
//!
//! ```text
//!   Driver ──put──► line ──► thread ─┐
//!                       └──► thread ─┴──ended──► Driver, all that ended meanwhile at once
//! ```
//!
//! A task of the sandbox takes some hundred microseconds, and waking a thread, on a busy machine, a tenth of
//! that; where many are in line, none has to be woken.
//!
//! - Bounds: the machine's places bound the line.
//! - Errors: what panics ends as [`Panicked`], and its thread goes on.
//! - Invariant: no more threads are at work than the node does short tasks at once. When the pool is dropped,
//!   each ends after what it is doing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

/// A task stopped in the middle: a bug in this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task panicked")]
pub struct Panicked;

type Task<T> = Box<dyn FnOnce() -> T + Send>;

struct State<T> {
    line: VecDeque<Task<T>>,
    /// How many threads take from the line.
    at_work: usize,
}

/// See the module.
pub(super) struct Pool<T> {
    state: Arc<Mutex<State<T>>>,
    threads: usize,
    ended: mpsc::UnboundedSender<Result<T, Panicked>>,
}

impl<T: Send + 'static> Pool<T> {
    /// With at most as many threads at work; what has ended arrives at the receiver.
    pub(super) fn new(threads: usize) -> (Self, mpsc::UnboundedReceiver<Result<T, Panicked>>) {
        let (sender, ended) = mpsc::unbounded_channel();
        let state = State { line: VecDeque::new(), at_work: 0 };
        (Self { state: Arc::new(Mutex::new(state)), threads: threads.max(1), ended: sender }, ended)
    }

    /// Puts a task in line. To be called within the runtime, whose threads for blocking work are used.
    pub(super) fn put(&self, task: impl FnOnce() -> T + Send + 'static) {
        let mut state = lock(&self.state);
        state.line.push_back(Box::new(task));
        if state.at_work == self.threads {
            return;
        }
        state.at_work += 1;
        drop(state);
        let (state, ended) = (Arc::clone(&self.state), self.ended.clone());
        tokio::task::spawn_blocking(move || {
            while let Some(task) = next(&state) {
                let result = catch_unwind(AssertUnwindSafe(task)).map_err(|_| Panicked);
                ended.send(result).ok(); // the driver may have ended
            }
        });
    }
}

/// The next task; without one, the thread is at work no more.
fn next<T>(state: &Mutex<State<T>>) -> Option<Task<T>> {
    let mut state = lock(state);
    let task = state.line.pop_front();
    if task.is_none() {
        state.at_work -= 1;
    }
    task
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        lock(&self.state).line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn every_task_ends_once_and_one_that_panics_takes_no_other_with_it() {
        let (pool, mut ended) = Pool::new(2);
        for n in 0..100_u32 {
            pool.put(move || {
                assert_ne!(n, 50, "this one panics");
                n
            });
        }
        let (mut done, mut panicked) = (BTreeSet::new(), 0);
        for _ in 0..100 {
            match ended.recv().await.expect("all end") {
                Ok(n) => assert!(done.insert(n)),
                Err(Panicked) => panicked += 1,
            }
        }
        assert_eq!((done.len(), panicked), (99, 1));
        drop(pool);
        assert!(ended.recv().await.is_none(), "nobody is at work any more");
    }
}
