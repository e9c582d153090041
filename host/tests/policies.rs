//! Every policy of the repository, as the component that ships, answers the golden vectors: the one in Rust, and the one
//! in C, which shares no line with it.
use std::fs;
use std::path::Path;
use std::sync::Arc;

use outrigger_runtime::{Compiler, Engine, Limits};
use outrigger_sdk_build::{Guest, build, c};

#[path = "../../tests/vectors/runner.rs"]
mod vectors;

#[test]
fn policies_as_components_answer_the_golden_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let lowest_free =
        Guest::new(root.join("plugins/allocators/lowest-free"), "outrigger-lowest-free");
    let policies = [
        ("lowest-free", build(&lowest_free, target).unwrap()),
        ("highest-free", c::build(&root.join("examples/highest-free-c"), target).unwrap()),
    ];

    let cache = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_outrigger").into();
    let compiler = Compiler::new(program, vec!["compile".to_owned()], cache.path().to_owned());
    let engine = Engine::new().unwrap();
    for (name, component) in policies {
        let plugin = compiler.load(&engine, &fs::read(component).unwrap()).unwrap();
        vectors::check(name, |request, pool| {
            plugin.allocate(request, Arc::new(pool), &Limits::default()).unwrap()
        });
    }
}
