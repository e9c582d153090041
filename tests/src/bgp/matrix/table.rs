//! The matrix as a page of documentation.
use super::{Feature, KINDS};

const HEAD: &str = "\
# BGP: what works with which router

Generated from `tests/src/bgp/matrix.rs` by `OUTRIGGER_CODEGEN=1 cargo test -p outrigger-tests --test bgp page`; a test
holds this page to it. Every cell with a \"yes\" is run by `cargo xtask test` with the real router, each in a network of its own
(`cargo test -p outrigger-tests --test bgp -- FRR`), and a cell that fails fails the run: FRR 8.4.4 and BIRD 2.0.12 as
Debian 12 has them, GoBGP 4.8.0 from its modules.

In every cell the session is established, the route has the right AS path and next hop, it is in the kernel's table (FRR and
BIRD), and when the Service is deleted it goes and the session stays.

";

/// Returns the page in Markdown.
pub fn table() -> String {
    let mut page = HEAD.to_owned();
    let mut notes: Vec<String> = Vec::new();
    page += "| | FRR | BIRD | GoBGP | what is checked besides |\n|---|---|---|---|---|\n";
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
