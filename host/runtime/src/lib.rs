//! Running plugins: the wasmtime engine, loading, limits, instances and their supervision. The only crate that uses
//! wasmtime; the rest of Outrigger uses [`PluginInstance`], [`Supervisor`] and [`Plugin`]. Knows nothing of sockets,
//! Kubernetes or the clock: time is an argument.
//!
//! The path of a plugin: bytes → [`inspect`] → [`Compiler::load`] (a child process compiles, the result is cached by
//! digest) → [`Plugin`] → an allocator decision in a fresh instance, or a [`Supervisor`] announcer.
#![deny(unsafe_code)]

mod abi;
mod allocate;
mod cache;
mod compile;
mod confine;
mod deadlines;
mod engine;
mod inspect;
mod limits;
mod load;
pub mod native;
mod pack;
mod plugin;
mod plugin_instance;
mod supervisor;
mod unpack;

pub use cache::CacheError;
pub use compile::{CompileError, compile, precompile, precompiled_key};
pub use engine::{Engine, EngineError};
pub use inspect::{INTERFACE, Inspection, LoadError, World, inspect};
pub use limits::Limits;
pub use load::Compiler;
pub use pack::{Sizes, sizes};
pub use plugin::Plugin;
pub use plugin_instance::{Factory, Fault, PluginInstance};
pub use supervisor::{Delivered, Incident, Phase, State, Supervisor, SwapError, SwapStep};
pub use unpack::unpack;
