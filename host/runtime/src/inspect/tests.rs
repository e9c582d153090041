//! Files that are delivered by mistake, and the error for each.
use super::*;

/// Returns a component with these imports and exports, each of them an instance without functions, as type-only
/// interfaces are.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut text = String::from("(component (instance $empty)\n");
    for name in imports {
        text.push_str(&format!("(import \"{name}\" (instance))\n"));
    }
    for name in exports {
        text.push_str(&format!("(export \"{name}\" (instance $empty))\n"));
    }
    text.push(')');
    wat::parse_str(text).expect("the text is a component")
}

const LOG: &str = "outrigger:plugin/log@0.1.0";
const POOL: &str = "outrigger:plugin/pool@0.1.0";
const TYPES: &str = "outrigger:plugin/types@0.1.0";
const POLICY: &str = "outrigger:plugin/policy@0.1.0";
const HOOKS: &str = "outrigger:plugin/policy-hooks@0.1.0";
const MACHINE: &str = "outrigger:plugin/machine@0.1.0";

#[test]
fn a_plugin_is_known_by_what_it_exports() {
    let cases: [(&[&str], &[&str], World, &str); 4] = [
        (&[LOG, POOL, TYPES], &[POLICY], World::Allocator { hooks: false }, "0.1.0"),
        (&[], &[POLICY, HOOKS], World::Allocator { hooks: true }, "0.1.0"),
        (&[LOG, TYPES], &[MACHINE], World::Announcer, "0.1.0"),
        // A newer patch version and leftover exports of a language's runtime are harmless.
        (&[], &["outrigger:plugin/machine@0.1.7", "init"], World::Announcer, "0.1.7"),
    ];
    for (imports, exports, world, version) in cases {
        let found = inspect(&component(imports, exports)).expect("a plugin");
        assert_eq!((found.world, found.version.as_str()), (world, version));
        assert_eq!(found.imports, imports);
        assert_eq!(found.exports, exports);
        assert_eq!(found.digest.len(), 64);
    }
}

#[test]
fn each_wrong_file_is_told_what_is_wrong_and_what_to_do() {
    let core = wat::parse_str("(module)").expect("wat");
    let wasi = component(&[LOG, "wasi:cli/environment@0.2.0"], &[POLICY]);
    let cases: Vec<(Vec<u8>, LoadError, &str)> = vec![
        (vec![], LoadError::NotWasm("an empty file"), "not WebAssembly"),
        (b"(component)".to_vec(), LoadError::NotWasm("text"), "text"),
        (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0], LoadError::NotWasm("a gzip file"), "gzip"),
        (b"\0asm".to_vec(), LoadError::Truncated { size: 4 }, "copy it again"),
        (core, LoadError::CoreModule, "wasm-tools component new"),
        (
            wasi,
            LoadError::Wasi(vec!["wasi:cli/environment@0.2.0".into()]),
            "wasi:cli/environment@0.2.0",
        ),
        (
            component(&["acme:net/dial@1.0.0"], &[MACHINE]),
            LoadError::UnknownImports {
                names: vec!["acme:net/dial@1.0.0".into()],
                world: "an announcer",
            },
            "acme:net/dial@1.0.0",
        ),
        (
            component(&[POOL], &[MACHINE]),
            LoadError::UnknownImports { names: vec![POOL.into()], world: "an announcer" },
            "not available to an announcer",
        ),
        (component(&[], &["run"]), LoadError::NoWorld(vec!["run".into()]), "but run"),
        (component(&[], &[]), LoadError::NoWorld(vec![]), "but nothing"),
        (component(&[], &[POLICY, MACHINE]), LoadError::BothWorlds, "two components"),
        (
            component(&[], &["outrigger:plugin/machine@0.2.0"]),
            LoadError::Version { found: "0.2.0".into() },
            "supports 0.1.x",
        ),
        (
            component(&[], &["outrigger:plugin/policy@0.1.0-rc.1"]),
            LoadError::Version { found: "0.1.0-rc.1".into() },
            "0.1.0-rc.1",
        ),
        (
            component(&["outrigger:plugin/log@0.2.0"], &[MACHINE]),
            LoadError::Version { found: "0.2.0".into() },
            "0.2.0",
        ),
        (vec![0; LARGEST + 1], LoadError::TooLarge { size: LARGEST + 1 }, "more than the limit"),
    ];
    for (bytes, expected, words) in cases {
        let error = inspect(&bytes).expect_err("not a plugin");
        assert_eq!(error, expected);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn machine_code_is_refused_whoever_compiled_it() {
    let engine = crate::engine::compiling().expect("engine");
    let compiled = engine.precompile_component(&component(&[], &[MACHINE])).expect("compiles");
    assert_eq!(inspect(&compiled), Err(LoadError::Precompiled));
}

#[test]
fn a_file_cut_anywhere_is_refused_and_never_taken_for_a_plugin() {
    let whole = wat::parse_str(
        r#"(component
            (core module (func (export "f")) (data "0123456789"))
            (instance $empty)
            (export "outrigger:plugin/machine@0.1.0" (instance $empty)))"#,
    )
    .expect("wat");
    for end in 1..whole.len() {
        match inspect(&whole[..end]) {
            // Complete except for the names at the end.
            Ok(found) => assert_eq!(found.exports, [MACHINE], "cut at {end}"),
            // A cut between two sections leaves a component that exports nothing.
            Err(LoadError::Truncated { .. } | LoadError::NotWasm(_) | LoadError::NoWorld(_)) => {}
            Err(error) => panic!("cut at {end}: {error:?}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), component in proptest::bool::ANY) {
        if component && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
        }
        let _ = inspect(&bytes);
    }
}
