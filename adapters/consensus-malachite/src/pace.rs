//! When the next height begins: at once when there is something to decide, else once a second.

use std::time::Duration;

use althing_types::Height;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the pace depends on.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The least time from one height's start to the next, in a node with work of its own.
    pub(crate) min_block: Duration,
    /// The time from one height's start to the next when nobody has work.
    pub(crate) idle_block: Duration,
    /// True while there is something to put into a block.
    pub(crate) work: watch::Receiver<bool>,
    /// The highest height of which a validator has sent something signed.
    pub(crate) called: watch::Receiver<Height>,
}

impl Pace {
    /// Returns when `next` should begin, if the height before it began at `started`.
    pub(crate) async fn wait(mut self, next: Height, started: Instant) {
        let own_work = async {
            tokio::time::sleep_until(started + self.min_block).await;
            if self.work.wait_for(|work| *work).await.is_err() {
                std::future::pending::<()>().await; // Nobody will ever tell of work.
            }
        };
        let others = async {
            if self.called.wait_for(|height| *height >= next).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = own_work => {}
            () = others => {}
            () = tokio::time::sleep_until(started + self.idle_block) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(10);
    const IDLE: Duration = Duration::from_millis(1000);

    async fn waited(work: bool, called: u64) -> Duration {
        let (_work, work) = watch::channel(work);
        let (_called, called) = watch::channel(Height(called));
        let started = Instant::now();
        Pace { min_block: MIN, idle_block: IDLE, work, called }.wait(Height(5), started).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_node_waits_for_its_idle_time() {
        assert_eq!(waited(false, 4).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn work_begins_a_height_after_the_least_time() {
        assert_eq!(waited(true, 4).await, MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn others_who_began_are_joined_at_once() {
        assert_eq!(waited(false, 5).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_comes_later_ends_the_wait() {
        let (sender, work) = watch::channel(false);
        let (_called, called) = watch::channel(Height(0));
        let started = Instant::now();
        let wait = Pace { min_block: MIN, idle_block: IDLE, work, called }.wait(Height(5), started);
        let later = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sender.send_replace(true);
        };
        tokio::join!(wait, later);
        assert_eq!(started.elapsed(), Duration::from_millis(300));
    }
}
