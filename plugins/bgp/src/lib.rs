//! BGP: tells routers which addresses this node takes, with equal cost beside other nodes.
#![forbid(unsafe_code)]

pub mod config;
