//! An announcer's instance as the supervisor sees it: four calls, each of which may fault. Knows nothing of wasm, so
//! that native plugins and scripted fakes are machines as well.
use outrigger_sdk::{Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time};

/// One instance. After a fault it is dead and must be dropped.
pub trait Machine: Send {
    /// Checks a configuration, changes nothing.
    ///
    /// # Errors
    /// The outer one is the instance's fault, the inner one the configuration's.
    fn validate(&mut self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault>;

    /// Called once, first.
    ///
    /// # Errors
    /// The outer one is the instance's fault, the inner one its answer.
    fn start(
        &mut self,
        context: &Context,
        origin: &Origin,
    ) -> Result<Result<(), StartError>, Fault>;

    /// One call for everything that happened, oldest first.
    ///
    /// # Errors
    /// The instance's fault; nothing of this call has happened.
    fn handle(&mut self, now: Time, events: &[Event]) -> Result<Reply, Fault>;

    /// All that the instance knows.
    ///
    /// # Errors
    /// The instance's fault.
    fn snapshot(&mut self) -> Result<SavedState, Fault>;
}

/// Makes instances of one build of a plugin.
pub trait Factory: Send + Sync {
    /// A new instance, not yet started.
    ///
    /// # Errors
    /// The instance's fault: it traps, or asks for too much, before the first call.
    fn instantiate(&self) -> Result<Box<dyn Machine>, Fault>;

    /// Names the build.
    fn digest(&self) -> &str;
}

/// Why an instance is dead. A plugin's own refusal is never one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped: a panic, an overflow, a broken call.
    #[error("the plugin crashed: {message}")]
    Trap {
        /// What and where, and the last error it logged.
        message: String,
    },
    /// It took too long.
    #[error("the plugin did not answer within {after_ms} ms")]
    Deadline {
        /// What it had.
        after_ms: u64,
    },
    /// It wanted more memory than it may have.
    #[error("the plugin wanted more than its {limit_mib} MiB of memory")]
    Memory {
        /// What it may have.
        limit_mib: usize,
    },
    /// Its answer cannot be used.
    #[error("the plugin's answer is unusable: {0}")]
    Garbage(String),
}

/// More effects than a healthy plugin sends for 1,000 addresses that all move at once.
const EFFECTS: usize = 10_000;
/// As the WIT says.
const SNAPSHOT: usize = 16 << 20;

/// Refuses an answer that would make the host do too much.
pub(crate) fn checked_reply(reply: Reply) -> Result<Reply, Fault> {
    if reply.effects.len() > EFFECTS {
        let count = reply.effects.len();
        return Err(Fault::Garbage(format!(
            "{count} effects in one reply, at most {EFFECTS} are taken"
        )));
    }
    Ok(reply)
}

/// Refuses a snapshot that is too large to keep.
pub(crate) fn checked_snapshot(state: SavedState) -> Result<SavedState, Fault> {
    let octets = state.data.len() + state.format.len();
    if octets > SNAPSHOT {
        return Err(Fault::Garbage(format!(
            "a snapshot of {octets} octets, at most {SNAPSHOT} are kept"
        )));
    }
    Ok(state)
}
