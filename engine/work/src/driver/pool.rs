//! Threads that compute: the sandbox's short tasks, one after another, without a thread being woken for each.
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
//! - Invariant: as many threads as the node does short tasks at once; they end when the pool is dropped, each
//!   after what it is doing.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

/// A task stopped in the middle: a bug in this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task panicked")]
pub struct Panicked;

type Task<T> = Box<dyn FnOnce() -> T + Send>;

struct State<T> {
    line: VecDeque<Task<T>>,
    sleeping: usize,
    closed: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task; `None` if there will be none.
    fn next(&self) -> Option<Task<T>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(task) = state.line.pop_front() {
                return Some(task);
            }
            state.sleeping += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
    }
}

/// See the module.
pub(super) struct Pool<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts the threads; what has ended arrives at the receiver.
    pub(super) fn start(
        threads: usize,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Result<T, Panicked>>)> {
        let state = State { line: VecDeque::new(), sleeping: 0, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let pool = Self { shared };
        let (sender, ended) = mpsc::unbounded_channel();
        for _ in 0..threads.max(1) {
            let (shared, sender) = (Arc::clone(&pool.shared), sender.clone());
            let work = move || {
                while let Some(task) = shared.next() {
                    let result = catch_unwind(AssertUnwindSafe(task)).map_err(|_| Panicked);
                    if sender.send(result).is_err() {
                        return; // the driver has ended
                    }
                }
            };
            std::thread::Builder::new().name("tasks".into()).spawn(work)?;
        }
        Ok((pool, ended))
    }

    /// Puts a task in line.
    pub(super) fn put(&self, task: impl FnOnce() -> T + Send + 'static) {
        let mut state = self.shared.lock();
        state.line.push_back(Box::new(task));
        let wake = state.sleeping > 0;
        drop(state);
        if wake {
            self.shared.changed.notify_one();
        }
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.line.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn every_task_ends_once_and_one_that_panics_takes_no_other_with_it() {
        let (pool, mut ended) = Pool::start(2).expect("threads can be started");
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
        assert!(ended.recv().await.is_none(), "the threads have ended");
    }
}
