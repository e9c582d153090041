//! The plugins that ship, as components: see the examples. Each of them is one line; the logic is a library of its own, which is
//! tested natively.
#![forbid(unsafe_code)]
