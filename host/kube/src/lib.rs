//! Converts Kubernetes objects, from the API server or from a folder of manifests, to facts, and manages the state folder,
//! where status is written. This is the only crate that sees Kubernetes' API types. It must not know plugins, the network
//! or what is decided from the facts.
#![forbid(unsafe_code)]

pub mod api;
pub mod convert;
pub mod crd;
mod diff;
pub mod folder;
pub mod import;
mod ownership;
pub mod problem;
pub mod secrets;
pub mod state;

pub use folder::{Folder, FolderError};
pub use problem::Problem;
pub use state::{
    Allocated, FolderLead, Memory, Occupied, ServiceStatus, State, StateError, rfc3339, utc,
};
