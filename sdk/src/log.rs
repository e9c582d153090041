//! The one function every plugin may call: it changes nothing and answers nothing. WIT: `log`.
//!
//! In a component the lines go to the host; natively they go nowhere, so that tests compare effects only.

/// How loud a line is. Per packet `Trace`, decisions `Debug`, session changes `Info`, "someone should look" `Warn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Broken.
    Error,
    /// Someone should look.
    Warn,
    /// Session changes.
    Info,
    /// Decisions.
    Debug,
    /// Per packet.
    Trace,
}

/// Says one line, with fields. At most 1 KiB; rate limited by the host.
pub fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    #[cfg(target_family = "wasm")]
    crate::guest::log(level, message, fields);
    #[cfg(not(target_family = "wasm"))]
    let _ = (level, message, fields);
}
