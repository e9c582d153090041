//! Log lines of a plugin: bounded, stripped of control characters, forwarded to `tracing` under the target "plugin".
use outrigger_sdk::log::Level;

/// Longest line including its fields, in bytes.
const LINE: usize = 1024;
/// Number of lines that may be written at once.
const BURST: u64 = 100;
const LINES_PER_SECOND: u64 = 50;

/// The log of one instance. Its clock is the time of the calls, so its rate limit is as deterministic as they are: an
/// allocator, which receives no time, has its burst per decision.
#[derive(Debug)]
pub(crate) struct Log {
    plugin: String,
    /// Remaining lines in units of 1/1,000,000 of a line, so that microseconds refill exactly.
    credit: u64,
    refilled_us: u64,
    /// Number of dropped lines, reported with the next line that fits.
    dropped: u64,
    /// The last error, truncated: a panic message arrives here before its trap.
    last_error: String,
}

impl Log {
    pub(crate) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
            credit: BURST * 1_000_000,
            refilled_us: 0,
            dropped: 0,
            last_error: String::new(),
        }
    }

    /// Refills the rate limit at the start of a call at the given time.
    pub(crate) fn refill(&mut self, monotonic_us: u64) {
        let passed = monotonic_us.saturating_sub(self.refilled_us);
        self.refilled_us = self.refilled_us.max(monotonic_us);
        self.credit = self
            .credit
            .saturating_add(passed.saturating_mul(LINES_PER_SECOND))
            .min(BURST * 1_000_000);
    }

    pub(crate) fn write(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        if level == Level::Error {
            self.last_error = line(message, &[]);
        }
        if self.credit < 1_000_000 {
            self.dropped += 1;
            return;
        }
        self.credit -= 1_000_000;
        let (plugin, line) = (self.plugin.as_str(), line(message, fields));
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            tracing::warn!(target: "plugin", plugin, dropped, "log lines dropped: the plugin exceeds the rate limit");
        }
        match level {
            Level::Error => tracing::error!(target: "plugin", plugin, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{line}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{line}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{line}"),
            Level::Trace => tracing::trace!(target: "plugin", plugin, "{line}"),
        }
    }

    /// Returns the last error that the guest logged, or "" if there was none.
    pub(crate) fn last_error(&self) -> &str {
        &self.last_error
    }
}

/// Joins message and fields into one line: a plugin must not be able to write lines that look like another source's.
fn line(message: &str, fields: &[(String, String)]) -> String {
    let mut line = String::new();
    let pairs = fields.iter().flat_map(|(name, value)| [" ", name, "=", value]);
    for part in std::iter::once(message).chain(pairs) {
        for character in part.chars() {
            if line.len() + character.len_utf8() > LINE {
                return line;
            }
            line.push(if character.is_control() { ' ' } else { character });
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(log: &mut Log, lines: u64) -> u64 {
        let before = log.dropped;
        for _ in 0..lines {
            log.write(Level::Info, "line", &[]);
        }
        lines - (log.dropped - before.min(log.dropped))
    }

    #[test]
    fn a_burst_passes_and_then_fifty_a_second() {
        let mut log = Log::new("test");
        assert_eq!(written(&mut log, 150), 100);
        log.refill(1_000_000);
        log.dropped = 0;
        assert_eq!(written(&mut log, 150), 50);
        log.refill(60_000_000);
        log.dropped = 0;
        assert_eq!(written(&mut log, 150), 100);
    }

    #[test]
    fn a_line_is_one_line_of_at_most_a_kibibyte() {
        assert_eq!(line("a\nb\u{1b}[0m", &[("k".into(), "v\r".into())]), "a b [0m k=v ");
        assert_eq!(line(&"é".repeat(2000), &[]).len(), 1024);
    }

    #[test]
    fn the_last_error_is_kept_even_when_the_rate_is_exceeded() {
        let mut log = Log::new("test");
        written(&mut log, 200);
        log.write(Level::Error, "panicked at lib.rs:1:1", &[]);
        assert_eq!(log.last_error(), "panicked at lib.rs:1:1");
    }
}
