//! Real BGP speakers in namespaces: FRR, BIRD, GoBGP and ExaBGP as they are released, configured from one small
//! description, asked in one way; and the product beside them. It knows the product only from outside.

pub mod bird;
pub mod exabgp;
pub mod fib;
pub mod frr;
pub mod gobgp;
pub mod net;
pub mod programs;
pub mod router;
pub mod speaker;

pub use net::Net;
pub use router::{Kind, Path, Router, Session};
pub use speaker::{Bfd, Family, Hops, Neighbor, Speaker, Who};
