//! Real BGP speakers in namespaces: FRR, BIRD, GoBGP and ExaBGP as they are released, configured from one small
//! description, asked in one way; and the product beside them. It knows the product only from outside.

pub mod bird;
pub mod exabgp;
pub mod fabric;
pub mod fib;
pub mod frr;
pub mod gobgp;
pub mod matrix;
pub mod net;
pub mod oracle;
pub mod outrigger;
pub mod programs;
pub mod raw;
pub mod router;
pub mod sink;
pub mod speaker;
pub mod traffic;
pub mod uml;

pub use net::Net;
pub use outrigger::Outrigger;
pub use router::{Kind, Path, Router, Session};
pub use speaker::{Bfd, Family, Hops, Neighbor, Speaker, Who};
