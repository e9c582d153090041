//! The door: Kubernetes objects, from a folder of manifests, become facts, once; and the state folder, where status goes.
//! The only room that sees Kubernetes' API types. Must not know plugins, the network or what is decided from the facts.
#![forbid(unsafe_code)]

pub mod api;
mod before;
mod claims;
pub mod convert;
pub mod crd;
pub mod folder;
pub mod import;
pub mod problem;
pub mod secrets;
pub mod state;

pub use folder::{Folder, FolderError};
pub use problem::Problem;
pub use state::{
    Allocated, Lead, Memory, Occupied, ServiceStatus, State, StateError, rfc3339, utc,
};
