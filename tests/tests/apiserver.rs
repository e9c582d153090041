//! Promises of a controller on a real API server without nodes, which starts in seconds; the trials run in it one after the
//! other. Needs root.
#![forbid(unsafe_code)]
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::scenarios::kubernetes::{alone, delivery, objects, relist};
use outrigger_tests::times;

fn main() {
    let mut arguments = Arguments::from_args();
    // The trials disturb each other: several stop the controller.
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(&None)).exit();
    }
    let lab = match Lab::up(&format!("api{}", std::process::id()), 0) {
        Ok(lab) => Some(Arc::new(lab)),
        Err(error) => {
            eprintln!("the API server tests cannot run: {error:#}");
            std::process::exit(1);
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(&lab));
    // Before the process ends: this removes the laboratory.
    drop(lab);
    conclusion.exit();
}

type Scenario = fn(&Lab) -> Result<()>;

fn trials(lab: &Option<Arc<Lab>>) -> Vec<Trial> {
    let all: [(&str, Scenario); 9] = [
        ("a_bad_service_says_why_and_stops_only_itself", alone::bad_services),
        ("a_bad_pool_or_announcer_says_why_and_stops_only_itself", objects::bad),
        ("a_watch_that_is_too_old_withdraws_nothing", relist::after_compaction),
        ("a_delivery_that_is_no_plugin_says_why", delivery::alone::refused),
        ("a_delivery_is_copied_and_its_copy_swept", delivery::alone::copied_and_swept),
        ("a_delivered_policy_takes_over_and_goes_back", delivery::alone::policies),
        ("a_policy_that_fails_stops_only_its_own_pools", delivery::failing::policies),
        ("what_happened_while_nobody_led_is_made_good", alone::changes_while_nobody_leads),
        ("many_services_get_one_address_each", alone::many_services),
    ];
    all.into_iter().map(|(name, scenario)| trial(lab.clone(), name, scenario)).collect()
}

fn trial(lab: Option<Arc<Lab>>, name: &'static str, scenario: Scenario) -> Trial {
    Trial::test(name, move || {
        let run = || scenario(&*lab.context("no laboratory")?);
        times::taken(name, run).map_err(|error| Failed::from(format!("{error:#}")))
    })
}
