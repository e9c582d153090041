//! Promises on Kubernetes, with real kubelets: the scenarios of this package, one after the other in one laboratory of three
//! nodes. Needs root, and the image that `cargo xtask image` writes.
#![forbid(unsafe_code)]
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::scenarios::kubernetes::{
    deaf, delivery, explain, install, laboratory, leaders, leave, objects, pools, rest, rights,
    routed, serve, steady, uninstall,
};
use outrigger_tests::{product, times};

const NODES: u8 = 3;

/// The laboratory, and the result of installing Outrigger in it, which the first scenario that needs it does.
#[derive(Debug)]
struct Stand {
    lab: Lab,
    installed: OnceLock<Result<()>>,
}

fn main() {
    let mut arguments = Arguments::from_args();
    // The trials disturb each other: one stops the API server.
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(&None)).exit();
    }
    let stand = match stand() {
        Ok(stand) => Some(Arc::new(stand)),
        Err(error) => {
            eprintln!("the cluster tests cannot run: {error:#}");
            std::process::exit(1);
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(&stand));
    // Before the process ends: this removes the laboratory.
    drop(stand);
    conclusion.exit();
}

fn stand() -> Result<Stand> {
    let lab = Lab::up(&format!("test{}", std::process::id()), NODES)?;
    Ok(Stand { lab, installed: OnceLock::new() })
}

/// Returns the trials in the order in which they run: the last ones leave no Outrigger behind.
fn trials(stand: &Option<Arc<Stand>>) -> Vec<Trial> {
    let all = Trials(stand.clone());
    let parts = [in_service(&all), coming_and_going(&all)];
    parts.into_iter().flatten().collect()
}

fn in_service(all: &Trials) -> Vec<Trial> {
    vec![
        all.bare("the_laboratory_is_a_working_cluster", laboratory::works),
        all.bare("the_control_plane_stops_and_starts", laboratory::stops_and_starts),
        all.scenario("the_commands_of_the_readme_do_what_it_says", serve::as_the_readme_says),
        all.scenario("a_client_reaches_a_service_through_every_node", serve::from_every_node),
        all.scenario(
            "a_new_address_is_announced_when_it_can_be_served",
            serve::when_it_can_be_served,
        ),
        all.scenario("a_node_at_rest_writes_nothing", rest::writes_nothing),
        all.scenario("deleting_the_leader_loses_nothing", steady::without_its_leader),
        all.scenario("restarting_node_by_node_loses_nothing", steady::restarted_node_by_node),
        all.scenario("rolling_to_another_image_loses_nothing", steady::rolled_to_another_image),
        all.scenario("cordoning_the_holder_loses_nothing", steady::cordoned),
        all.scenario("kube_proxy_that_stands_still_loses_nothing", steady::without_kube_proxy),
        all.scenario("a_winner_whose_watch_is_deaf_is_passed_over", deaf::watch),
        all.scenario("a_minute_without_an_api_server_loses_nothing", steady::without_an_api_server),
        all.scenario("killing_etcd_loses_nothing", steady::without_etcd),
        all.scenario("a_frozen_leader_writes_nothing_when_it_thaws", leaders::two_at_once),
        all.scenario("a_pool_in_use_goes_on_serving_when_deleted", pools::deleted_in_use),
        all.scenario("excluding_every_node_is_said", pools::every_node_excluded),
        all.scenario("a_router_is_told_the_way_by_every_node", routed::by_every_node),
        all.scenario("a_refused_announcer_says_so_and_serves_on", objects::refused_announcer),
        all.scenario(
            "a_delivery_under_load_loses_nothing",
            delivery::rolled_out::swapped_under_load,
        ),
        all.scenario(
            "a_delivery_reaches_nodes_that_come_late",
            delivery::rolled_out::nodes_that_come_late,
        ),
        all.scenario(
            "a_daemon_that_dies_of_a_candidate_is_the_verdict",
            delivery::rolled_out::that_kills_a_daemon,
        ),
        all.scenario("a_node_may_do_nothing_that_is_not_its_own", rights::of_a_node),
        all.scenario("metallbs_old_config_map_is_imported_and_served", leave::old_config_map),
        all.scenario("every_right_is_used", rights::all_used),
    ]
}

fn coming_and_going(all: &Trials) -> Vec<Trial> {
    vec![
        all.scenario("uninstalling_leaves_nothing", |lab| {
            uninstall::leaves_nothing(lab, &product::image()?)
        }),
        all.scenario("upgrading_loses_nothing", |lab| uninstall::upgraded(lab, &product::image()?)),
        all.scenario("ten_services_move_from_metallb_and_back", leave::there_and_back),
    ]
}

/// Creates trials that share a laboratory; without one when they are only listed.
struct Trials(Option<Arc<Stand>>);

impl Trials {
    /// Creates a trial with Outrigger installed.
    fn scenario(&self, name: &str, scenario: fn(&Lab) -> Result<()>) -> Trial {
        self.trial(name, move |stand| {
            stand.installed()?;
            scenario(&stand.lab).map_err(|error| anyhow!("{error:#}\n{}", explain(&stand.lab)))
        })
    }

    /// Creates a trial without Outrigger.
    fn bare(&self, name: &str, scenario: fn(&Lab) -> Result<()>) -> Trial {
        self.trial(name, move |stand| scenario(&stand.lab))
    }

    fn trial(&self, name: &str, run: impl FnOnce(&Stand) -> Result<()> + Send + 'static) -> Trial {
        let (stand, named) = (self.0.clone(), name.to_owned());
        Trial::test(name, move || {
            let stand = stand.context("no laboratory").map_err(failed)?;
            times::taken(&named, || run(&stand)).map_err(failed)
        })
    }
}

impl Stand {
    fn installed(&self) -> Result<()> {
        let installed = self.installed.get_or_init(|| install(&self.lab, &product::image()?));
        installed.as_ref().map_err(|error| anyhow!("cannot install Outrigger: {error:#}")).copied()
    }
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
