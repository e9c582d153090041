//! Components written by hand, through the whole path: inspected, compiled in a child (this test binary again), cached,
//! linked, run against every limit.
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use outrigger_sdk::{
    AddressState, Context, Effect, Event, Family, FrameWatch, HeldAddress, Holder, IpNet, Origin,
    Outcome, Pair, Pool, PoolCount, Request, Time, Wake,
};
use wit_component::{ComponentEncoder, StringEncoding};

use super::*;
use crate::{Factory, Fault, Limits, PluginInstance, World};

/// The start of every hand-written module: memory of zeros (an answer of zeros is the first case of every variant, and
/// empty lists), and a realloc that only allocates.
const COMMON: &str = r#"
    (memory (export "memory") 128)
    (global $top (mut i32) (i32.const 1048576))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get 3))))
"#;

/// Returns a component of this world from functions in text form.
fn component(world: &str, functions: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).expect("the WIT parses");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    let imports = functions.matches("(import").count();
    // Imports come first in a module.
    let (imported, defined): (Vec<_>, Vec<_>) =
        functions.lines().partition(|line| line.contains("(import"));
    assert_eq!(imports, imported.len(), "one import a line");
    let text = format!("(module {} {COMMON} {})", imported.join("\n"), defined.join("\n"));
    let mut module = wat::parse_str(text).expect("the text is a module");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("embeds");
    ComponentEncoder::default().module(&module).expect("fits").encode().expect("encodes")
}

/// Returns an announcer with these bodies of `handle` and `snapshot`.
fn announcer(handle: &str, snapshot: &str) -> Vec<u8> {
    component(
        "announcer",
        &format!(
            r#"(import "outrigger:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))
            (data (i32.const 512) "the sky is falling")
            (func (export "outrigger:plugin/machine@0.1.0#validate") (param i32 i32) (result i32) (i32.const 16))
            (func (export "outrigger:plugin/machine@0.1.0#start")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 16))
            (func $handle (export "outrigger:plugin/machine@0.1.0#handle") (param i64 i64 i32 i32) (result i32) {handle})
            (func (export "outrigger:plugin/machine@0.1.0#snapshot") (result i32) {snapshot})"#
        ),
    )
}

const ZEROS: &str = "(i32.const 16)";

/// Returns an allocator with this body of `allocate`.
fn allocator(allocate: &str) -> Vec<u8> {
    component(
        "allocator",
        &format!(
            r#"(import "outrigger:plugin/pool@0.1.0" "lowest-free" (func $lowest_free (param i32 i32 i32)))
            (func (export "outrigger:plugin/policy@0.1.0#allocate") (param i32) (result i32) {allocate})"#
        ),
    )
}

/// Acts as the child when it is started with two file names after this test's name, and is an empty test otherwise.
#[test]
fn the_child() {
    let files: Vec<String> = std::env::args().skip_while(|arg| arg != "--exact").skip(2).collect();
    if let [input, output] = &files[..] {
        crate::compile(Path::new(input), Path::new(output)).expect("compiles");
    }
}

struct Setup {
    engine: Engine,
    compiler: Compiler,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let engine = Engine::new().expect("engine");
        let compiler = compiler(&directory);
        Self { engine, compiler, directory }
    }

    fn load(&self, bytes: &[u8]) -> Arc<Plugin> {
        self.compiler.load(&self.engine, bytes).expect("loads")
    }

    fn files(&self) -> Vec<PathBuf> {
        let cache = self.directory.path().join("cache");
        let mut files: Vec<_> = std::fs::read_dir(cache)
            .expect("the cache")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        files
    }
}

fn compiler(directory: &tempfile::TempDir) -> Compiler {
    let args = ["--exact", "load::tests::the_child"].map(ToOwned::to_owned);
    let program = std::env::current_exe().expect("this test");
    Compiler::new(program, args.into(), directory.path().join("cache"))
}

/// Returns a compiler that cannot start a child: a plugin that still loads comes from the cache.
fn no_compiler(directory: &tempfile::TempDir) -> Compiler {
    Compiler::new("/nonexistent".into(), vec![], directory.path().join("cache"))
}

fn running(setup: &Setup, bytes: &[u8]) -> Box<dyn PluginInstance> {
    let mut machine = setup.load(bytes).instantiate().expect("instantiates");
    machine.validate("{}").expect("no fault").expect("valid");
    machine.start(&Context::default(), &Origin::Fresh).expect("no fault").expect("starts");
    machine
}

#[test]
fn a_component_is_compiled_once_and_then_comes_from_the_cache() {
    let setup = Setup::new();
    let bytes = announcer(ZEROS, ZEROS);
    let plugin = setup.load(&bytes);
    assert_eq!(plugin.inspection().world, World::Announcer);
    assert_eq!(plugin.digest(), plugin.inspection().digest);
    let files = setup.files();
    let [sum, code] = &files[..] else { panic!("{files:?}") };
    assert!(code.to_string_lossy().contains(plugin.digest()));
    // The same bytes are the same plugin while a reference exists, and are not compiled again when none does.
    assert!(Arc::ptr_eq(&plugin, &setup.load(&bytes)));
    drop(plugin);
    no_compiler(&setup.directory).load(&setup.engine, &bytes).expect("from the cache");
    // A damaged file is compiled again, and so is one with a single flipped bit in code, which wasmtime does not check.
    let whole = std::fs::read(code).expect("there");
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    let damages: [(&Path, &[u8]); 4] =
        [(code, b"torn"), (code, &turned), (code, b""), (sum, b"00000000")];
    for (file, octets) in damages {
        std::fs::write(file, octets).expect("written");
        assert!(no_compiler(&setup.directory).load(&setup.engine, &bytes).is_err());
        setup.load(&bytes);
        assert_eq!(setup.files(), files);
        assert_eq!(std::fs::read(code).expect("there"), whole);
    }
    std::fs::remove_file(sum).expect("removed");
    assert!(no_compiler(&setup.directory).load(&setup.engine, &bytes).is_err());
}

/// A function that takes the compiler many seconds. It is stopped by its processor time, however busy the machine is.
#[test]
fn a_component_that_compiles_for_ever_is_stopped() {
    let setup = Setup::new();
    let body = "(local.set $x (i32.add (i32.mul (local.get $x) (local.get $x)) (i32.const 7)))";
    let huge = format!("(local $x i32) {} {ZEROS}", body.repeat(300_000));
    let loaded = setup.compiler.load_within(
        &setup.engine,
        &announcer(ZEROS, &huge),
        Some(Duration::from_secs(1)),
    );
    let error = loaded.expect_err("it takes longer than a second");
    // Its processor time, or five times that in wall time on a busy machine.
    assert!(error.to_string().contains("compiling took longer than"), "{error}");
    assert_eq!(setup.files(), Vec::<PathBuf>::new(), "nothing is left of it");
}

#[test]
fn a_component_with_the_right_names_and_the_wrong_types_is_told_so() {
    let setup = Setup::new();
    let text = r#"(component (instance $empty)
        (export "outrigger:plugin/policy@0.1.0" (instance $empty)))"#;
    let bytes = wat::parse_str(text).expect("wat");
    let error = setup.compiler.load(&setup.engine, &bytes).expect_err("it exports no function");
    assert!(error.to_string().starts_with("does not match the world allocator"), "{error}");
    assert!(error.to_string().contains("allocate"), "{error}");
}

#[test]
fn an_announcer_answers_and_is_asked_for_its_state() {
    let setup = Setup::new();
    // One effect of zeros at 65,536 (watch nothing on link 0), and a wake in 7 ms.
    let handle = "(i32.store (i32.const 32) (i32.const 65536)) (i32.store (i32.const 36) (i32.const 1))
        (i32.store8 (i32.const 40) (i32.const 1)) (i32.store (i32.const 44) (i32.const 7)) (i32.const 32)";
    let mut machine = running(&setup, &announcer(handle, ZEROS));
    let events = [
        Event::Wake("x".into()),
        Event::Frame(outrigger_sdk::Frame { link: 1, data: vec![1; 60] }),
    ];
    let reply = machine.handle(Time::default(), &events).expect("no fault");
    assert_eq!(reply.effects, [Effect::WatchFrames(FrameWatch { link: 0, topics: vec![] })]);
    assert_eq!(reply.wake, Wake::After { ms: 7, reason: String::new() });
    assert_eq!(machine.snapshot().expect("no fault"), outrigger_sdk::SavedState::default());
}

#[test]
fn whatever_a_guest_does_wrong_is_named() {
    let setup = Setup::new();
    let panics = "(call $log (i32.const 0) (i32.const 512) (i32.const 18) (i32.const 0) (i32.const 0)) unreachable";
    let traps: [(&str, &[&str]); 3] = [
        (panics, &["unreachable", "handle", "it logged: the sky is falling"]),
        ("(call $handle (local.get 0) (local.get 1) (local.get 2) (local.get 3))", &["stack"]),
        // A list that reaches beyond the memory.
        ("(i32.store (i32.const 36) (i32.const 2147483647)) (i32.const 32)", &["list"]),
    ];
    for (handle, words) in traps {
        let fault = running(&setup, &announcer(handle, ZEROS))
            .handle(Time::default(), &[])
            .expect_err("trap");
        let Fault::Trap { message } = &fault else { panic!("not a trap: {fault:?}") };
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }
    let cases = [
        ("(loop (br 0)) unreachable", Fault::Deadline { after_ms: 50 }),
        (
            "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable",
            Fault::Memory { limit_mib: 64 },
        ),
    ];
    for (handle, expected) in cases {
        let fault = running(&setup, &announcer(handle, ZEROS))
            .handle(Time::default(), &[])
            .expect_err("fault");
        assert_eq!(fault, expected);
    }
}

#[test]
fn an_answer_that_would_fill_the_host_is_refused() {
    let setup = Setup::new();
    // 30,000 effects of zeros.
    let handle = "(i32.store (i32.const 32) (i32.const 65536)) (i32.store (i32.const 36) (i32.const 30000)) (i32.const 32)";
    let mut machine = running(&setup, &announcer(handle, ZEROS));
    let fault = machine
        .handle(Time::default(), &[])
        .map(|reply| reply.effects.len())
        .expect_err("too much");
    assert!(matches!(&fault, Fault::Garbage(why) if why.contains("4 MiB")), "{fault:?}");
}

#[test]
fn a_guest_that_faulted_is_dead_and_another_instance_is_not() {
    let setup = Setup::new();
    let plugin = setup.load(&announcer("unreachable", ZEROS));
    let mut machine = plugin.instantiate().expect("instantiates");
    machine.start(&Context::default(), &Origin::Fresh).expect("no fault").expect("starts");
    machine.handle(Time::default(), &[]).expect_err("trap");
    assert!(machine.snapshot().is_err());
    let mut another = plugin.instantiate().expect("instantiates");
    another.start(&Context::default(), &Origin::Fresh).expect("no fault").expect("starts");
}

#[test]
fn limits_can_be_set_for_one_instance() {
    let setup = Setup::new();
    let plugin = setup.load(&announcer("(loop (br 0)) unreachable", ZEROS));
    let limits = Limits { handle: Duration::from_millis(5), ..Limits::default() };
    let mut machine = plugin.machine(&limits).expect("instantiates");
    let fault = machine.handle(Time::default(), &[]).expect_err("too slow");
    assert_eq!(fault, Fault::Deadline { after_ms: 5 });
    // It starts with 128 pages of 64 KiB.
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    assert!(matches!(plugin.machine(&limits), Err(Fault::Memory { limit_mib: 1 })));
}

/// A pool with one free address.
struct OneAddress;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

impl Pool for OneAddress {
    fn name(&self) -> String {
        "one".into()
    }
    fn labels(&self) -> Vec<Pair> {
        vec![]
    }
    fn prefixes(&self) -> Vec<IpNet> {
        vec![IpNet::from(ADDRESS)]
    }
    fn count(&self, _family: Family) -> PoolCount {
        PoolCount { total: 1, free: 1, held: 0 }
    }
    fn state(&self, _address: IpAddr) -> AddressState {
        AddressState::Free
    }
    fn lowest_free(&self, family: Family, limit: u32) -> Vec<IpAddr> {
        assert_eq!((family, limit), (Family::Ipv4, 1));
        vec![ADDRESS]
    }
    fn free_after(&self, _after: IpAddr, _limit: u32) -> Vec<IpAddr> {
        vec![]
    }
    fn nth_free(&self, _family: Family, _n: u32) -> Option<IpAddr> {
        None
    }
    fn shareable(&self, _family: Family, _limit: u32) -> Vec<IpAddr> {
        vec![]
    }
    fn holders(&self, _address: IpAddr) -> Vec<Holder> {
        vec![]
    }
    fn held_after(&self, _after: IpAddr, _limit: u32) -> Vec<HeldAddress> {
        vec![]
    }
    fn held_by_namespace(&self, _namespace: &str) -> u32 {
        0
    }
    fn released_ago(&self, _address: IpAddr) -> u32 {
        u32::MAX
    }
}

fn decide(plugin: &Plugin) -> Result<Outcome, Fault> {
    plugin.allocate(&Request::default(), Arc::new(OneAddress), &Limits::default())
}

#[test]
fn an_allocator_asks_the_pool_and_decides_afresh_each_time() {
    let setup = Setup::new();
    // `assign` (0) of the list that the pool returns, written by the host behind the case; traps when run twice.
    let allocate = "(if (i32.load (i32.const 600)) (then unreachable)) (i32.store (i32.const 600) (i32.const 1))
        (call $lowest_free (i32.const 0) (i32.const 1) (i32.const 36)) (i32.const 32)";
    let plugin = setup.load(&allocator(allocate));
    for _ in 0..3 {
        assert_eq!(decide(&plugin), Ok(Outcome::Assign(vec![ADDRESS])));
    }
    // Without hooks every configuration is accepted.
    assert_eq!(plugin.validate_config("nonsense"), Ok(Ok(())));
    assert!(matches!(plugin.instantiate(), Err(Fault::Garbage(_))));
}

#[test]
fn an_allocator_has_a_tenth_of_a_second() {
    let setup = Setup::new();
    let plugin = setup.load(&allocator("(loop (br 0)) unreachable"));
    assert_eq!(decide(&plugin), Err(Fault::Deadline { after_ms: 100 }));
    let announcer = setup.load(&announcer(ZEROS, ZEROS));
    assert!(matches!(decide(&announcer), Err(Fault::Garbage(_))));
    assert_eq!(announcer.validate_config("{}"), Ok(Ok(())));
}

#[test]
fn an_allocator_with_hooks_is_asked_about_its_configuration() {
    let setup = Setup::new();
    // An error list of one entry of zeros.
    let functions = r#"
        (func (export "outrigger:plugin/policy@0.1.0#allocate") (param i32) (result i32) (i32.const 16))
        (func (export "outrigger:plugin/policy-hooks@0.1.0#released") (param i32) (result i32) unreachable)
        (func (export "outrigger:plugin/policy-hooks@0.1.0#validate") (param i32 i32) (result i32)
            (i32.store8 (i32.const 32) (i32.const 1)) (i32.store (i32.const 36) (i32.const 65536))
            (i32.store (i32.const 40) (i32.const 1)) (i32.const 32))"#;
    let plugin = setup.load(&component("allocator-with-hooks", functions));
    assert_eq!(plugin.inspection().world, World::Allocator { hooks: true });
    let errors = plugin.validate_config("{}").expect("no fault").expect_err("one error");
    assert_eq!(errors.len(), 1);
}
