//! Promises with real packets: the scenarios of this package, each in a laboratory of its own, in parallel. Without libtest,
//! because the process must enter its namespaces before it has a second thread.
#![forbid(unsafe_code)]
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use outrigger_tests::cluster::{Cluster, VIP};
use outrigger_tests::guests::Guests;
use outrigger_tests::lab::Lab;
use outrigger_tests::prober::{Prober, RATE};
use outrigger_tests::scenarios::{
    crowd, failover, hostile, input, partition, ports, serve, setup, swap,
};
use outrigger_tests::story::Story;
use outrigger_tests::{http, sandbox, times, wait};

static GUESTS: OnceLock<Result<Guests>> = OnceLock::new();

fn main() {
    let mut arguments = Arguments::from_args();
    if !arguments.list {
        // Building needs the machine's network, so it comes first. A failure is reported by the tests that need guests.
        GUESTS.get_or_init(Guests::build);
        if let Err(error) = sandbox::enter() {
            eprintln!("the namespace tests cannot run: {error:#}");
            std::process::exit(1);
        }
    }
    // The trials wait more than they work, but a node that gets no processor for 200 ms counts as dead.
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("the_laboratory_measures_what_happens", || laboratory().map_err(failed)),
        trial("a_lone_node_serves_the_metallb_example_as_it_is", Cluster::lone, |cluster| {
            serve::the_example(cluster, &Story::quiet()).map(drop)
        }),
        trial("an_ipv6_address_is_found_by_a_linux_client", Cluster::lone, |cluster| {
            serve::ipv6(cluster, &Story::quiet())
        }),
        trial("replacing_layer2_loses_no_answer", Cluster::of_three, |cluster| {
            swap::layer2(cluster, guests()?, &Story::quiet()).map(drop)
        }),
        trial(
            "compiling_a_plugin_hardly_grows_the_daemon",
            Cluster::lone_with_example,
            |cluster| swap::compiled_apart(cluster, guests()?, &Story::quiet()),
        ),
        trial(
            "a_policy_in_c_takes_over_while_services_are_created",
            Cluster::lone_with_example,
            |cluster| swap::allocator(cluster, guests()?, &Story::quiet()),
        ),
        trial(
            "bad_input_stops_only_itself_and_is_explained",
            Cluster::lone_with_example,
            |cluster| input::all(cluster, guests()?, &Story::quiet()),
        ),
        trial(
            "a_plugin_that_kills_the_daemon_is_not_run_again",
            Cluster::lone_with_example,
            |cluster| hostile::died_of(cluster, guests()?),
        ),
        trial("a_plugin_that_compiles_for_ever_is_given_up", Cluster::lone, |cluster| {
            hostile::compiles_for_ever(cluster, guests()?)
        }),
        trial(
            "a_crowd_of_nodes_and_services_holds_up_no_turn_of_membership",
            Cluster::lone,
            |cluster| crowd::gathers(cluster, &Story::quiet()),
        ),
        trial(
            "while_a_status_cannot_be_read_nothing_new_is_given_out",
            Cluster::lone_with_example,
            input::unreadable_status,
        ),
    ];
    trials.extend(whoever_answers());
    trials.extend(hostile::Harm::ALL.map(|harm| {
        trial(
            &format!("a_plugin_with_a_{}_is_contained", harm.name()),
            Cluster::lone_with_example,
            move |cluster| hostile::contained(cluster, guests()?, harm, &Story::quiet()),
        )
    }));
    trials
}

/// Returns the trials in which nodes join, leave, or become unreachable.
fn whoever_answers() -> Vec<Trial> {
    vec![
        trial("another_node_answers_after_sigkill", Cluster::of_three, |cluster| {
            failover::killed(cluster, &Story::quiet()).map(drop)
        }),
        trial("sigterm_loses_no_answer", Cluster::of_three, |cluster| {
            failover::stopped(cluster, &Story::quiet()).map(drop)
        }),
        trial(
            "a_node_that_was_cut_off_takes_nothing_from_the_others",
            Cluster::of_three,
            |cluster| partition::cut_off(cluster, &Story::quiet()),
        ),
        trial(
            "a_closed_port_moves_nothing_and_nobody_answers_beside_the_holder",
            Cluster::of_three,
            |cluster| partition::closed(cluster, &Story::quiet()),
        ),
        trial(
            "behind_a_closed_port_who_was_given_up_by_mistake_yields",
            Cluster::of_three,
            |cluster| partition::given_up(cluster, &Story::quiet()),
        ),
        trial("where_the_port_was_never_open_one_node_answers", Cluster::of_three, |cluster| {
            partition::never_open(cluster, &Story::quiet())
        }),
        trial(
            "what_keeps_clients_or_nodes_from_each_other_is_named",
            Cluster::of_three_with_management,
            |cluster| setup::named(cluster, &Story::quiet()),
        ),
        trial(
            "a_node_whose_port_is_lost_hands_over",
            Cluster::of_three_with_management,
            |cluster| ports::lost(cluster, &Story::quiet()),
        ),
        trial(
            "a_node_that_stood_still_answers_for_nothing_that_others_took_over",
            Cluster::of_three,
            |cluster| partition::stood_still(cluster, &Story::quiet()),
        ),
        trial(
            "a_node_whose_main_loop_stands_still_goes_on_answering",
            Cluster::of_three,
            |cluster| partition::blocked(cluster, &Story::quiet()),
        ),
    ]
}

fn trial(
    name: &str,
    cluster: fn() -> Result<Cluster>,
    scenario: impl FnOnce(&mut Cluster) -> Result<()> + Send + 'static,
) -> Trial {
    let named = name.to_owned();
    Trial::test(name, move || {
        times::taken(&named, || {
            let mut cluster = cluster()?;
            scenario(&mut cluster).map_err(|error| anyhow!("{error:#}\n{}", cluster.explain()))
        })
        .map_err(failed)
    })
}

fn guests() -> Result<&'static Guests> {
    let guests = GUESTS.get().context("the guests were not built")?;
    guests.as_ref().map_err(|error| anyhow!("cannot build the guests: {error:#}"))
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// Tests the laboratory without the product: kernels answer for an address, one after the other, and the prober must record
/// exactly that.
fn laboratory() -> Result<()> {
    let lab = Lab::new(2)?;
    let (first, second) = (&lab.nodes[0], &lab.nodes[1]);
    let patience = std::time::Duration::from_secs(10);
    let prober = Prober::start(lab.client.namespace(), "eth0", VIP, RATE)?;
    wait::until("20 requests", patience, || Ok((prober.so_far().requests() >= 20).then_some(())))?;
    ensure!(prober.so_far().answers().is_empty(), "someone answers before anyone has the address");

    first.ip(&format!("addr add {VIP}/32 dev eth0\n"))?;
    wait::until("the first node answers", patience, || {
        Ok((prober.so_far().settled_on(20) == Some(first.mac)).then_some(()))
    })?;
    let body = lab.client.inside(|| http::get((VIP, 80).into(), patience))?;
    ensure!(body == "n1", "the answer is from {body}");

    first.ip(&format!("addr del {VIP}/32 dev eth0\n"))?;
    second.ip(&format!("addr add {VIP}/32 dev eth0\n"))?;
    wait::until("the second node answers", patience, || {
        Ok((prober.so_far().settled_on(20) == Some(second.mac)).then_some(()))
    })?;
    let probe = prober.finish()?;
    ensure!(probe.by_mac().len() == 2, "answers by {:?}", probe.by_mac());
    ensure!(
        probe.unanswered() >= 20,
        "the first requests had no answer, and only {} are counted",
        probe.unanswered()
    );
    ensure!(
        probe.unanswered() + probe.answers().len() == probe.requests() + probe.duplicates(),
        "the counts do not add up"
    );
    Ok(())
}
