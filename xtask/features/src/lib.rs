//! Empty crate that exists only for its dependencies. Cargo unifies the features of the packages it is asked to build; with
//! these dependencies in each package, `cargo test --package X` reuses the artifacts of a build of the whole workspace, and a
//! build script's libraries are the same as the daemon's.
#![forbid(unsafe_code)]
