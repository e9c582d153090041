//! One file per subcommand: each reads its flags, calls the rooms, prints.
mod bgp;
mod compile;
mod inspect;
mod plan;
mod run;
mod status;
mod table;
mod uninstall;
mod version;

pub use bgp::bgp;
pub use compile::compile;
pub use inspect::inspect;
pub use plan::plan;
pub use run::run;
pub use status::status;
pub use uninstall::uninstall;
pub use version::version;
