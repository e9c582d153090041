//! Nothing: its dependencies are the point. Cargo unites the features of what it is told to build; with these in each package,
//! `cargo test --package X` takes what a build of the whole workspace has left, and a build script's libraries are the daemon's.
#![forbid(unsafe_code)]
