//! Waiting for a node that is busy, or gone for a moment, without waiting for ever.

use std::time::{Duration, Instant};

use althing_api::client::ClientError;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);

/// Lets time pass: another process has no way to wake this one.
pub(crate) fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

/// How long to go on asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until when a node may be busy.
    pub(crate) until: Instant,
    /// How long it may be gone.
    pub(crate) gone: Duration,
}

impl Patience {
    /// For somebody who has just typed a command: a busy node is waited for, a missing one is told.
    pub(crate) fn short() -> Self {
        Self { until: Instant::now() + Duration::from_secs(30), gone: Duration::ZERO }
    }

    /// For somebody who follows what takes until `until`: a node may even be started again meanwhile.
    pub(crate) fn following(until: Instant) -> Self {
        Self { until, gone: Duration::from_secs(30) }
    }

    /// Asks until there is an answer that asking again would not change.
    pub(crate) fn ask<T>(
        self,
        mut ask: impl FnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let begun = Instant::now();
        loop {
            let error = match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let until = match &error {
                ClientError::Unreachable { .. } => self.until.min(begun + self.gone),
                _ if is_passing(&error) => self.until,
                _ => return Err(error),
            };
            if Instant::now() >= until {
                return Err(error);
            }
            pause(AGAIN);
        }
    }
}

/// True if the node has answered that it has no time now.
fn is_passing(error: &ClientError) -> bool {
    error.is_busy() || matches!(error, ClientError::Problem(problem) if problem.status == 504)
}

#[cfg(test)]
mod tests {
    use althing_api::Problem;

    use super::*;

    fn problem(status: u16) -> ClientError {
        let text = |text: &str| text.to_owned();
        ClientError::Problem(Box::new(Problem {
            page: text("page"),
            title: text("title"),
            status,
            detail: text("detail"),
            code: text("code"),
            hint: text("hint"),
            cause: None,
        }))
    }

    #[test]
    fn a_busy_node_is_asked_again() {
        let mut answers = vec![Ok(7), Err(problem(504)), Err(problem(503))];
        let answer = Patience::short().ask(|| answers.pop().unwrap());
        assert_eq!(answer.unwrap(), 7);
        assert!(answers.is_empty());
    }

    #[test]
    fn a_final_answer_is_not_asked_for_again() {
        let mut asked = 0;
        let answer: Result<(), _> = Patience::short().ask(|| {
            asked += 1;
            Err(problem(404))
        });
        assert!(answer.unwrap_err().is_not_found());
        assert_eq!(asked, 1);
    }

    #[test]
    fn patience_ends() {
        let over = Patience { until: Instant::now(), gone: Duration::from_secs(9) };
        let answer: Result<(), _> = over.ask(|| Err(problem(503)));
        assert!(answer.unwrap_err().is_busy());
    }
}
