//! The state folder keeps what is written to it, and distinguishes damaged files from missing ones.
use std::os::unix::fs::PermissionsExt;

use super::*;

fn open() -> (tempfile::TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state")).unwrap();
    (dir, state)
}

fn web() -> ServiceKey {
    ServiceKey::new("default", "web")
}

fn allocated(status: bool, reason: &str) -> Allocated {
    Allocated { status, reason: reason.to_owned(), message: format!("{reason}: \"so\"\nit is") }
}

fn at(seconds: u64) -> Time {
    Time { monotonic_us: 0, utc_us: seconds * 1_000_000 }
}

#[test]
fn one_opener_leads_until_it_lets_go() {
    let (_dir, first) = open();
    let second = State::open(first.dir()).unwrap();
    let lead = first.try_lead().unwrap();
    assert!(lead.is_some());
    assert!(second.try_lead().unwrap().is_none());
    drop(lead);
    assert!(second.try_lead().unwrap().is_some());
}

#[test]
fn a_status_comes_back_as_it_was_written_and_is_written_once() {
    let (_dir, state) = open();
    let lead = state.try_lead().unwrap().unwrap();
    let addresses = ["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let ok = allocated(true, "Allocated");
    assert!(state.write_service(&lead, &web(), &addresses, &ok, at(60)).unwrap());
    assert!(!state.write_service(&lead, &web(), &addresses, &ok, at(61)).unwrap());
    let status = state.service(&web()).unwrap().unwrap();
    assert_eq!(
        status,
        ServiceStatus { addresses: addresses.into(), allocated: Some(ok), since_us: 60_000_000 }
    );

    // The time of a condition is the time of its last change of status.
    let other = allocated(true, "Adopted");
    assert!(state.write_service(&lead, &web(), &addresses, &other, at(70)).unwrap());
    assert_eq!(state.service(&web()).unwrap().unwrap().since_us, 60_000_000);
    assert!(
        state.write_service(&lead, &web(), &[], &allocated(false, "PoolFull"), at(80)).unwrap()
    );
    assert_eq!(state.service(&web()).unwrap().unwrap().since_us, 80_000_000);

    assert_eq!(state.services().unwrap().len(), 1);
    state.remove_service(&lead, &web()).unwrap();
    state.remove_service(&lead, &web()).unwrap();
    assert_eq!(state.service(&web()), None);
}

#[test]
fn a_damaged_status_is_unknown_and_names_the_fix() {
    let (_dir, state) = open();
    let path = state.services_dir().join("default/web.yaml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, reason) in [
        ("", "it is empty"),
        ("metadata: [", "expected mapping start at line 1, column 11"),
        (
            "{apiVersion: v1, kind: Service, metadata: {namespace: default, name: db}}",
            "it belongs to default/db",
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {namespace: default, name: web}, status: {loadBalancer: {ingress: [{ip: ten}]}}}",
            "status.loadBalancer.ingress[0].ip: \"ten\" is not an IP address: correct it",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let problem = state.service(&web()).unwrap().unwrap_err();
        assert_eq!(problem.object.as_deref(), Some("Service default/web"));
        assert_eq!(
            problem.message,
            format!(
                "the status cannot be read ({reason}): restore the file, or delete it so that addresses are allocated again; until then its addresses stay unchanged, and a new leader allocates none"
            ),
            "for {text:?}"
        );
    }
    fs::remove_dir_all(state.services_dir()).unwrap();
    assert!(state.services().is_err(), "what cannot be listed is not empty");
}

#[test]
fn the_gossip_key_is_made_once_and_for_this_user_only() {
    let (_dir, state) = open();
    assert_eq!(state.gossip_key([7; 32]).unwrap(), [7; 32]);
    assert_eq!(state.gossip_key([9; 32]).unwrap(), [7; 32]);
    let path = state.dir().join(GOSSIP_KEY);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(state.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(&path, "short").unwrap();
    assert!(matches!(state.gossip_key([9; 32]), Err(StateError::Key(_))));
}

#[test]
fn reports_and_details_are_kept_by_node() {
    let (_dir, state) = open();
    let mut report = NodeReport::new("n1", crate::crd::NodeReportSpec {});
    let denied = [("address-not-desired".to_owned(), 3)].into();
    let announcer =
        crate::crd::AnnouncerReport { name: "lan".to_owned(), denied, ..Default::default() };
    report.status = Some(crate::crd::NodeReportStatus {
        node: "n1".to_owned(),
        ready: true,
        announcers: vec![announcer],
        ..Default::default()
    });
    state.write_report("n1", &report).unwrap();
    state.write_details("n1", &serde_json::json!({"10.0.0.1": "announced"})).unwrap();
    fs::write(state.dir().join("reports/n2.yaml"), "status: [").unwrap();
    assert_eq!(state.reports().into_keys().collect::<Vec<_>>(), ["n1"]);
    assert_eq!(state.reports()["n1"].status, report.status);
    assert_eq!(state.details()["n1"]["10.0.0.1"], "announced");
    assert!(matches!(
        state.write_details("../n1", &serde_json::Value::Null),
        Err(StateError::Name(_))
    ));
}
