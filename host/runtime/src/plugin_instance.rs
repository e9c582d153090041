//! An announcer's instance as seen by the supervisor: four calls, each of which may fault. Knows nothing of wasm, so
//! that native plugins and scripted fakes are machines as well.
use outrigger_sdk::{Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time};

/// One instance. After a fault it is dead and must be dropped.
pub trait PluginInstance: Send {
    /// Checks a configuration and changes nothing.
    ///
    /// # Errors
    /// Returns the instance's fault as the outer error, and the errors of the configuration as the inner one.
    fn validate(&mut self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault>;

    /// Starts the instance. Called once, before any `handle`.
    ///
    /// # Errors
    /// Returns the instance's fault as the outer error, and the plugin's refusal as the inner one.
    fn start(
        &mut self,
        context: &Context,
        origin: &Origin,
    ) -> Result<Result<(), StartError>, Fault>;

    /// Handles all events that occurred, oldest first, in one call.
    ///
    /// # Errors
    /// Returns the instance's fault; the call has had no effect then.
    fn handle(&mut self, now: Time, events: &[Event]) -> Result<Reply, Fault>;

    /// Returns the whole state of the instance.
    ///
    /// # Errors
    /// Returns the instance's fault.
    fn snapshot(&mut self) -> Result<SavedState, Fault>;
}

/// Makes instances of one build of a plugin.
pub trait Factory: Send + Sync {
    /// Creates a new instance that is not yet started.
    ///
    /// # Errors
    /// Returns the instance's fault if it traps, or requests too much, before the first call.
    fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault>;

    /// Returns the digest that identifies the build.
    fn digest(&self) -> &str;
}

/// The reason why an instance is dead. A refusal by the plugin is never a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The instance trapped: a panic, an overflow, a broken call.
    #[error("the plugin crashed: {message}")]
    Trap {
        /// The trap, its location, and the last error that the plugin logged.
        message: String,
    },
    /// The instance took too long.
    #[error("the plugin did not answer within {after_ms} ms")]
    Deadline {
        /// The deadline, in milliseconds.
        after_ms: u64,
    },
    /// The instance requested more memory than it may have.
    #[error("the plugin exceeded its memory limit of {limit_mib} MiB")]
    Memory {
        /// The limit, in MiB.
        limit_mib: usize,
    },
    /// The instance's answer cannot be used.
    #[error("the reply of the plugin is invalid: {0}")]
    Garbage(String),
}

/// Largest number of effects in one reply: more than a healthy plugin sends for 1,000 addresses that all move at once.
const EFFECTS: usize = 10_000;
/// Largest snapshot in bytes, as the WIT specifies.
const SNAPSHOT: usize = 16 << 20;

/// Refuses a reply that would make the host do too much.
pub(crate) fn checked_reply(reply: Reply) -> Result<Reply, Fault> {
    if reply.effects.len() > EFFECTS {
        let count = reply.effects.len();
        return Err(Fault::Garbage(format!(
            "{count} effects in one reply, more than the limit of {EFFECTS}"
        )));
    }
    Ok(reply)
}

/// Refuses a snapshot that is too large to keep.
pub(crate) fn checked_snapshot(state: SavedState) -> Result<SavedState, Fault> {
    let octets = state.data.len() + state.format.len();
    if octets > SNAPSHOT {
        return Err(Fault::Garbage(format!(
            "a snapshot of {octets} bytes, more than the limit of {SNAPSHOT}"
        )));
    }
    Ok(state)
}
