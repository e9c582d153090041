//! The trait behind the world `announcer`. WIT: `machine`.
use crate::{Event, Pair, Reply, Time};

/// A state machine without I/O that tells the outside world where an address is.
///
/// Same calls, same answers: the host replays calls after a trap with the effects left out. A snapshot therefore must
/// hold everything: instance = snapshot + later calls.
pub trait Announcer: Sized {
    /// Checks a configuration (JSON text), changes nothing.
    ///
    /// # Errors
    /// Every field that is wrong, by JSON Pointer (RFC 6901). Never an empty list.
    fn validate(config: &str) -> Result<(), Vec<FieldError>>;

    /// Called once, first.
    ///
    /// # Errors
    /// See [`StartError`].
    fn start(context: Context, origin: Origin) -> Result<Self, StartError>;

    /// One call for everything that happened, oldest first.
    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply;

    /// Called between `handle`s.
    fn snapshot(&self) -> SavedState;
}

/// What an instance is started with. WIT: `machine.context`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Name of the Announcer object.
    pub instance: String,
    /// This node; "" in cluster scope.
    pub node: String,
    /// `spec.config`, JSON text, "{}" when absent.
    pub config: String,
    /// 32 octets, for jitter.
    pub seed: Vec<u8>,
    /// What a newer host adds.
    pub ext: Vec<Pair>,
}

/// Where the state comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was before.
    Fresh,
    /// From this instance before: the same or another version of the plugin, the same or another config.
    Restored(SavedState),
}

/// The plugin's own state, opaque to the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedState {
    /// The plugin's own: "layer2/1". Check it before reading `data`.
    pub format: String,
    /// At most 16 MiB.
    pub data: Vec<u8>,
}

/// Why an instance did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("invalid configuration: {}", list(.0))]
    InvalidConfig(Vec<FieldError>),
    /// The host starts it again with [`Origin::Fresh`].
    #[error("unknown snapshot: {0}")]
    UnknownSnapshot(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What is wrong with one field of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901), "" is the whole.
    pub path: String,
    /// One sentence for a person.
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

/// Reads a JSON configuration into `T`, as [`Announcer::validate`] and [`crate::Policy`] want it.
///
/// # Errors
/// One [`FieldError`] on the whole document, with serde's words, which name the field and the position.
pub fn parse_config<T: serde::de::DeserializeOwned>(config: &str) -> Result<T, Vec<FieldError>> {
    serde_json::from_str(config)
        .map_err(|error| vec![FieldError { path: String::new(), message: error.to_string() }])
}
