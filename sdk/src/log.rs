//! Logging, the only host function that every plugin may call. It changes no state and returns nothing. WIT: `log`.
//!
//! In a component the lines go to the host. Natively they are discarded, so that tests compare effects only.

/// The severity of a log line. WIT: `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A failure.
    Error,
    /// A problem that an operator should look at.
    Warn,
    /// A session change.
    Info,
    /// A decision.
    Debug,
    /// An event per packet.
    Trace,
}

/// Writes one log line with fields. A line has at most 1 KiB, and the host limits the rate.
pub fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    #[cfg(target_family = "wasm")]
    crate::guest::log(level, message, fields);
    #[cfg(not(target_family = "wasm"))]
    let _ = (level, message, fields);
}
