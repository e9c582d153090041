//! BGP and BFD with real routers: FRR, BIRD, GoBGP and ExaBGP, each cell and each promise in a network of its own, several in
//! parallel, because they wait more than they work. Without libtest, because the process must enter its namespaces before it
//! has a second thread.
#![forbid(unsafe_code)]
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use outrigger_tests::bgp::matrix::{self, Feature};
use outrigger_tests::bgp::{Kind, Neighbor, Net, Router, Speaker, fib, programs, uml};
use outrigger_tests::guests::BgpGuests;
use outrigger_tests::scenarios::bgp::{anycast, ecmp, input, oracle, plugin, storm, vrf};
use outrigger_tests::{product, sandbox, times};

/// Number of parallel trials: each is a few sleeping processes.
const SIDE_BY_SIDE: usize = 4;

/// Number of generated inputs of the oracle beyond its table. `--test oracle` runs a soak's full number on native code every
/// time.
const GENERATED: usize = 100;
/// Number of generated inputs in a soak.
const GENERATED_IN_A_SOAK: usize = 1000;

static GUESTS: OnceLock<Result<BgpGuests>> = OnceLock::new();

fn main() {
    if uml::is_first_process() {
        return uml::first_process(vrf::sessions);
    }
    let mut arguments = Arguments::from_args();
    if !arguments.list {
        // Building needs the machine's network, so it comes first. A failure is reported by the tests that need guests.
        GUESTS.get_or_init(BgpGuests::build);
        if let Err(error) = sandbox::enter().and_then(|()| programs::let_frr_run()) {
            eprintln!("the BGP tests cannot run: {error:#}");
            std::process::exit(1);
        }
    }
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        // First, in parallel with all others: it takes a minute and a half.
        trial("a_trapping_plugin_costs_no_session_and_no_route", || {
            plugin::trapping(&guests()?.faulty)
        }),
        trial("the_page_of_the_matrix_is_as_generated", || {
            written("docs/bgp-interop.md", &matrix::table(), "page")
        }),
        trial("the_oracle_is_answered_as_the_rfcs_demand", || oracle::product(GENERATED)),
        trial("the_whole_oracle_is_answered_as_the_rfcs_demand", || {
            oracle::product(GENERATED_IN_A_SOAK)
        })
        .with_ignored_flag(true),
        // FRR pauses for seconds after each session that ended with an error: minutes, for a soak.
        trial("the_oracle_page_is_as_frr_and_bird_answer", || {
            written("docs/bgp-oracle.md", &oracle::page()?, "oracle")
        })
        .with_ignored_flag(true),
        trial("routers_of_different_makes_are_read_alike", routers_alone),
        trial("a_new_plugin_goes_on_with_the_session_and_says_nothing_again", || {
            plugin::swapped(&guests()?.other)
        }),
        trial("a_peer_that_is_taken_out_keeps_nothing_and_is_told_nothing", plugin::revoked),
        trial("a_rogue_plugin_is_not_heard_by_the_router", || plugin::rogue(&guests()?.rogue)),
        trial("a_plugin_offers_a_router_only_what_the_guard_reads", || {
            plugin::offers(&guests()?.offers)
        }),
        trial("a_crowd_of_routers_comes_up_at_once", storm::crowd),
        trial("routers_that_ask_again_and_again_keep_nobody_from_news", storm::refreshes),
        trial("a_vanished_node_costs_less_than_a_blink", || ecmp::vanished().map(drop)),
        trial("a_stopped_node_and_a_new_plugin_lose_nothing", || {
            ecmp::drained_and_swapped(&guests()?.other)
        }),
        trial("a_restarted_daemon_changes_nothing_in_the_router", ecmp::restarted),
        trial("one_cluster_fails_and_the_other_has_the_traffic", || {
            anycast::one_cluster_fails().map(drop)
        }),
        trial("sessions_in_a_vrf_come_up_and_the_route_arrives", vrf::in_user_mode_linux)
            .with_ignored_flag(!uml::EXISTS),
        trial("bad_input_vrf_that_is_not_there", input::vrf_that_is_not_there),
        trial("bad_input_wrong_as", input::wrong_as),
        trial("bad_input_wrong_password", input::wrong_password),
        trial("bad_input_duplicate_router_id", input::duplicate_router_id),
        trial("bad_input_hold_time_of_one", input::hold_time_of_one),
        trial("bad_input_unknown_capability", input::unknown_capability),
        trial("bad_input_peer_that_stops_reading", input::stops_reading),
        trial("bad_input_peer_that_floods", input::floods),
    ];
    for feature in Feature::ALL {
        for kind in matrix::KINDS {
            if feature.not_applicable(kind).is_none() {
                let name = format!("{} does {}", kind.name(), feature.slug()).replace(' ', "_");
                trials.push(trial(&name, move || matrix::run(feature, kind)));
            }
        }
    }
    trials
}

fn trial(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    let named = name.to_owned();
    Trial::test(name, move || {
        times::taken(&named, run).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn guests() -> Result<&'static BgpGuests> {
    let guests = GUESTS.get().context("the guests were not built")?;
    guests.as_ref().map_err(|error| anyhow!("cannot build the guests: {error:#}"))
}

/// Checks a generated page of documentation, and writes it if asked to.
fn written(page: &str, wanted: &str, filter: &str) -> Result<()> {
    let path = product::root().join(page);
    if std::env::var_os("OUTRIGGER_CODEGEN").is_some() {
        std::fs::write(&path, wanted)?;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    ensure!(
        written == wanted,
        "{page} is not as generated; write it with: OUTRIGGER_CODEGEN=1 cargo test -p outrigger-tests --test bgp {filter} -- --include-ignored\n\
         {wanted}"
    );
    Ok(())
}

/// Tests the laboratory without the product: FRR and GoBGP must report what BIRD was configured to announce, and BIRD what FRR
/// was.
fn routers_alone() -> Result<()> {
    for (from, to) in [(Kind::Bird, Kind::Frr), (Kind::Bird, Kind::Gobgp), (Kind::Frr, Kind::Bird)]
    {
        let net = Net::pair()?;
        let (left, right) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        let mut speaker = Speaker::new(64512, left).with(Neighbor::at(right, 64513));
        speaker.networks = vec!["192.0.2.7/32".to_owned()];
        let receiver = Speaker::new(64513, right).with(Neighbor::at(left, 64512));
        let receiver = Router::start(to, &receiver, &net.at("p"), net.folder())?;
        let sender = Router::start(from, &speaker, &net.at("o"), net.folder())?;
        let session = receiver.await_established("10.77.0.1")?;
        let path = receiver.await_path("192.0.2.7/32")?;
        ensure!(path.as_path == [64512], "{path:?}");
        ensure!(path.next_hops == ["10.77.0.1"], "{path:?}");
        ensure!(receiver.session("10.77.0.1")?.generation == session.generation, "it flaps");
        if to != Kind::Gobgp {
            fib::await_next_hops(&net.at("p"), "192.0.2.7/32", 1)?;
        }
        // BIRD keeps the routes of a stopped FRR for some time (graceful restart).
        if from == Kind::Bird {
            sender.stop()?;
            receiver.await_no_path("192.0.2.7/32")?;
        }
    }
    Ok(())
}
