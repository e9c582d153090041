//! The trait behind the WIT world `announcer` (interface `machine`).
use crate::{Event, Pair, Reply, Time};

/// A state machine without I/O that announces to the network outside the cluster where an address is.
///
/// It must be deterministic: the same calls give the same answers, because the host replays calls after a trap and
/// discards the effects of the replay. A snapshot must therefore hold the whole state: instance = snapshot + later
/// calls.
pub trait Announcer: Sized {
    /// Checks a configuration (JSON text) and changes nothing.
    ///
    /// # Errors
    /// Returns every wrong field, named by JSON Pointer (RFC 6901). The list is never empty.
    fn validate(config: &str) -> Result<(), Vec<FieldError>>;

    /// Creates the instance. Called once, before every other function except `validate`.
    ///
    /// # Errors
    /// See [`StartError`].
    fn start(context: Context, origin: Origin) -> Result<Self, StartError>;

    /// Handles all events since the previous call, oldest first, and returns the effects and the next wake.
    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply;

    /// Returns the whole state of the instance. Called between calls of `handle`.
    fn snapshot(&self) -> SavedState;
}

/// The arguments that an instance is started with. WIT: `machine.context`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Name of the Announcer object.
    pub instance: String,
    /// Name of this node; "" in cluster scope.
    pub node: String,
    /// The Announcer's `spec.config` as JSON text; "{}" when absent.
    pub config: String,
    /// 32 random bytes, for jitter and other randomness.
    pub seed: Vec<u8>,
    /// Name and value pairs added by a newer host; unknown names must be ignored.
    pub ext: Vec<Pair>,
}

/// The state an instance starts from. WIT: `machine.origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No earlier state exists.
    Fresh,
    /// State saved by this instance earlier, by the same or another version of the plugin, with the same or another
    /// configuration.
    Restored(SavedState),
}

/// The plugin's own state, opaque to the host. WIT: `machine.saved-state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedState {
    /// Format name chosen by the plugin, such as "layer2/1". Check it before reading `data`.
    pub format: String,
    /// The encoded state, at most 16 MiB.
    pub data: Vec<u8>,
}

/// The reason an instance could not be started. WIT: `machine.start-error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong; lists every wrong field.
    #[error("invalid configuration: {}", list(.0))]
    InvalidConfig(Vec<FieldError>),
    /// The snapshot cannot be read; the host starts the instance again with [`Origin::Fresh`].
    #[error("unknown snapshot: {0}")]
    UnknownSnapshot(String),
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

/// An error in one field of a configuration. WIT: `types.field-error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON Pointer to the field (RFC 6901); "" is the whole document.
    pub path: String,
    /// One sentence for a human reader.
    pub message: String,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Parses a JSON configuration into `T`, with the error type that [`Announcer::validate`] returns. Policies can use
/// it too.
///
/// # Errors
/// Returns one [`FieldError`] on the whole document with serde's message, which names the field and the position.
pub fn parse_config<T: serde::de::DeserializeOwned>(config: &str) -> Result<T, Vec<FieldError>> {
    serde_json::from_str(config)
        .map_err(|error| vec![FieldError { path: String::new(), message: error.to_string() }])
}
