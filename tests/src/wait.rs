//! Waiting for a condition instead of for time.
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;

const STEP: Duration = Duration::from_millis(10);

/// Asks `condition` again and again until it gives a value.
///
/// # Errors
/// The condition's own error at once; or, after `limit`, one that says what was awaited.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = clock::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if clock::since(start) > limit {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::sleep(STEP);
    }
}
