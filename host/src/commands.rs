//! One module per subcommand: each reads its flags, calls the other crates and prints the result.
mod bgp;
mod compile;
mod import;
mod inspect;
mod plan;
mod run;
mod status;
mod table;
mod uninstall;
mod version;
mod why;

pub use bgp::bgp;
pub use compile::compile;
pub use import::import_metallb;
pub use inspect::inspect;
pub use plan::plan;
pub use run::run;
pub use status::status;
pub use uninstall::uninstall;
pub use version::version;
pub use why::why;
