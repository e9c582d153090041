//! The matrix as a page of documentation.
use super::{Feature, KINDS};

const HEAD: &str = "\
# BGP: what works with which router

Generated from `tests/src/bgp/matrix.rs` by `OUTRIGGER_CODEGEN=1 cargo test -p outrigger-tests --test bgp page`; a test
compares the two. `cargo xtask test` runs every cell with a \"yes\" against the real router, each in a network of its own
(`cargo test -p outrigger-tests --test bgp -- FRR`). A cell that fails fails the run. FRR 8.4.4 and BIRD 2.0.12 are Debian 12's
packages; GoBGP 4.8.0 is built from its modules.

In every cell the session is established, the route has the right AS path and next hop, and it is in the kernel's table (FRR and
BIRD). When the Service is deleted, the route disappears and the session stays.

";

/// Returns the page in Markdown.
pub fn table() -> String {
    let mut page = HEAD.to_owned();
    let mut notes: Vec<String> = Vec::new();
    page += "| | FRR | BIRD | GoBGP | what else is checked |\n|---|---|---|---|---|\n";
    for feature in Feature::ALL {
        let cells = KINDS.map(|kind| match feature.not_applicable(kind) {
            None => "yes".to_owned(),
            Some(why) => {
                notes.push(format!("{}, {}: {why}.", kind.name(), feature.name()));
                format!("n/a ({})", notes.len())
            }
        });
        page += &format!("| {} | {} | {} |\n", feature.name(), cells.join(" | "), feature.what());
    }
    page += "\n";
    for (number, note) in notes.iter().enumerate() {
        page += &format!("{}. {note}\n", number + 1);
    }
    page
}
