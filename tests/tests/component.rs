//! The built components behave as tested: components against their native twins, policies against the golden vectors, and
//! hostile components against the limits.
#![forbid(unsafe_code)]
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use outrigger_bgp::Speaker;
use outrigger_bgp::scripts as bgp;
use outrigger_layer2::Layer2;
use outrigger_layer2::scripts::scripts;
use outrigger_runtime::native::Native;
use outrigger_runtime::{
    Compiler, Engine, Factory, Fault, Limits, Plugin, PluginInstance, Supervisor,
};
use outrigger_sdk::{Context, DesiredChanged, Event, LinksChanged, Origin, Time};
use outrigger_tests::guests::Guests;
use outrigger_tests::product;

#[path = "../vectors/runner.rs"]
#[expect(clippy::unwrap_used, reason = "it only ever runs in tests")]
mod vectors;

static GUESTS: LazyLock<Guests> = LazyLock::new(|| Guests::build().expect("the guests are built"));
static HOST: LazyLock<(Engine, Compiler)> = LazyLock::new(|| {
    let program = product::binary().expect("the daemon is built");
    let cache = product::target().expect("a target folder").join("component-tests");
    (Engine::new().expect("an engine"), Compiler::new(program, vec!["compile".to_owned()], cache))
});

fn load(component: &Path) -> Arc<Plugin> {
    let (engine, compiler) = &*HOST;
    let bytes = std::fs::read(component).expect("a built component");
    compiler.load(engine, &bytes).expect("a component that loads")
}

/// Limits that suffice for a slow machine and an unoptimized wasmtime.
fn patient() -> Limits {
    const PATIENCE: Duration = Duration::from_secs(20);
    Limits { handle: PATIENCE, start: PATIENCE, allocate: PATIENCE, ..Limits::default() }
}

/// Component with the time it needs.
struct Patient(Arc<Plugin>);

impl Factory for Patient {
    fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault> {
        self.0.machine(&patient())
    }

    fn digest(&self) -> &str {
        self.0.digest()
    }
}

fn context() -> Context {
    Context {
        instance: "test".to_owned(),
        node: "n1".to_owned(),
        config: "{}".to_owned(),
        seed: vec![7; 32],
        ext: vec![],
    }
}

/// Returns all output of a build for a script: effects, wake and snapshot after every call.
fn transcript(
    mut machine: Box<dyn PluginInstance>,
    context: &Context,
    calls: &[(Time, Vec<Event>)],
) -> Vec<String> {
    let mut said = vec![format!("{:?}", machine.validate(&context.config).expect("no fault"))];
    said.push(format!("{:?}", machine.start(context, &Origin::Fresh).expect("no fault")));
    for (now, events) in calls {
        said.push(format!("{:?}", machine.handle(*now, events).expect("no fault")));
        said.push(format!("{:?}", machine.snapshot().expect("no fault")));
    }
    said
}

#[test]
fn native_and_wasm_builds_of_layer2_agree_byte_for_byte() {
    let native = Native::<Layer2>::new("native");
    for component in [&GUESTS.layer2, &GUESTS.layer2_other] {
        let wasm = Patient(load(component));
        for (name, calls) in scripts() {
            let machines =
                (native.instantiate().expect("native"), wasm.instantiate().expect("wasm"));
            assert_eq!(
                transcript(machines.0, &context(), &calls),
                transcript(machines.1, &context(), &calls),
                "script {name:?}"
            );
        }
    }
}

#[test]
fn native_and_wasm_builds_of_bgp_agree_byte_for_byte() {
    let native = Native::<Speaker>::new("native");
    let wasm = Patient(load(&GUESTS.bgp));
    let node = vec![("node-ip".to_owned(), "192.0.2.10".to_owned())];
    let context = Context { config: bgp::CONFIG.to_owned(), ext: node, ..context() };
    for (name, calls) in bgp::scripts() {
        let machines = (native.instantiate().expect("native"), wasm.instantiate().expect("wasm"));
        assert_eq!(
            transcript(machines.0, &context, &calls),
            transcript(machines.1, &context, &calls),
            "script {name:?}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_refused_alike() {
    let native =
        Native::<Layer2>::new("native").instantiate().expect("native").validate("{\"x\": 1}");
    let wasm = Patient(load(&GUESTS.layer2)).instantiate().expect("wasm").validate("{\"x\": 1}");
    assert_eq!(native, wasm);
    assert!(native.expect("no fault").is_err());
}

#[test]
fn policies_in_rust_and_c_answer_the_golden_vectors() {
    for (policy, component) in
        [("lowest-free", &GUESTS.lowest_free), ("highest-free", &GUESTS.highest_free)]
    {
        let plugin = load(component);
        vectors::check(policy, |request, pool| {
            plugin.allocate(request, Arc::new(pool), &patient()).expect("no fault")
        });
    }
}

/// Returns the fault that a hostile build causes within some calls.
fn fault_of(component: &Path, limits: &Limits) -> Fault {
    let mut machine = load(component).machine(limits).expect("it comes up");
    if let Err(fault) = machine.start(&context(), &Origin::Fresh) {
        return fault;
    }
    for second in 0..10 {
        let now = Time { monotonic_us: second * 1_000_000, utc_us: 0 };
        let lists = [
            Event::LinksChanged(LinksChanged { reset: true, ..Default::default() }),
            Event::DesiredChanged(DesiredChanged { reset: true, ..Default::default() }),
            Event::Wake("tick".to_owned()),
        ];
        if let Err(fault) = machine.handle(now, &lists) {
            return fault;
        }
    }
    panic!("no fault")
}

#[test]
fn every_kind_of_harm_is_a_fault_of_its_own_kind() {
    // A busy machine must not turn one kind into another.
    assert!(matches!(fault_of(&GUESTS.trap, &patient()), Fault::Trap { .. }));
    assert!(matches!(fault_of(&GUESTS.looping, &Limits::default()), Fault::Deadline { .. }));
    let memory = fault_of(&GUESTS.memory, &patient());
    assert!(matches!(memory, Fault::Memory { .. }), "{memory}");
}

#[test]
fn a_build_that_faults_at_once_never_replaces_one_that_works() {
    let good = Patient(load(&GUESTS.layer2));
    let digest = good.digest().to_owned();
    let mut running = Supervisor::start(Arc::new(good), context()).expect("layer2 starts");
    for bad in [&GUESTS.looping, &GUESTS.memory] {
        let lists = vec![
            Event::LinksChanged(LinksChanged { reset: true, ..Default::default() }),
            Event::DesiredChanged(DesiredChanged { reset: true, ..Default::default() }),
        ];
        let swapped = running.swap(Time::default(), load(bad), context(), lists);
        assert!(swapped.is_err(), "{} took over", bad.display());
        assert_eq!(running.digest(), digest);
    }
}
