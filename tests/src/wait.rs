//! Waits for a condition instead of a fixed time.
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::clock;

const STEP: Duration = Duration::from_millis(10);

/// Evaluates `condition` repeatedly until it returns a value. An error counts as "not yet": a report that is not written, a
/// process that does not listen and an API server that is busy are all temporary, and on a slow machine they last longer.
///
/// # Errors
/// Returns an error after `limit` that names the awaited condition, with its last error if there was one.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = clock::now();
    loop {
        let error = match condition() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if clock::since(start) > limit {
            let late = format!("timeout after {limit:?}: {what}");
            return Err(match error {
                Some(error) => error.context(late),
                None => anyhow!(late),
            });
        }
        std::thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;

    #[test]
    fn an_error_that_passes_is_waited_for() {
        let mut asked = 0;
        let found = until("a report", Duration::from_secs(60), || {
            asked += 1;
            ensure!(asked > 2, "no report");
            Ok(Some(asked))
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn an_error_that_stays_is_told_with_what_was_awaited() {
        let never = until::<()>("a report", Duration::ZERO, || bail!("no such node"));
        let said = format!("{:#}", never.unwrap_err());
        assert_eq!(said, "timeout after 0ns: a report: no such node");
    }
}
