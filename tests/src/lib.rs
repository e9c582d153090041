//! Network laboratory in namespaces: a bridge, nodes and a client, real kernels, real packets; and the scenarios that the
//! demonstration shows and the namespace tests check. It knows the product only from outside: its command line, its folders and
//! what a client on the same segment can see.
#![forbid(unsafe_code)]

pub mod bgp;
pub mod clock;
pub mod cluster;
pub mod daemon;
pub mod guests;
pub mod http;
pub mod kubernetes;
pub mod lab;
pub mod namespace;
pub mod prober;
pub mod product;
pub mod sandbox;
pub mod scenarios;
pub mod story;
pub mod times;
pub mod wait;
