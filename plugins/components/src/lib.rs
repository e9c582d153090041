//! The bundled plugins as components; see the examples. Each example is one line, because the logic is in a separate
//! library that is tested natively.
#![forbid(unsafe_code)]
