//! Real BGP speakers in namespaces: released versions of FRR, BIRD, GoBGP and ExaBGP, configured from one small description and
//! queried through one interface; and the product beside them, which is known only from outside.

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
