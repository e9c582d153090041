//! Tests of the status in the state folder, and of when a waiting caller is notified.
use std::net::IpAddr;

use super::*;
use crate::state::FolderLead;

/// The leader, which allocates addresses.
struct Leader(State, FolderLead);

impl Leader {
    fn of(bench: &Bench) -> Self {
        let state = State::open(&bench.dir.join(".state")).unwrap();
        let lead = state.try_lead().unwrap().unwrap();
        Self(state, lead)
    }

    fn gives(&self, name: &str, addresses: &[IpAddr]) {
        let Self(state, lead) = self;
        let allocated =
            Allocated { status: true, reason: "Allocated".to_owned(), message: String::new() };
        state.write_service(lead, &key(name), addresses, &allocated, Time::default()).unwrap();
    }
}

fn with_state(dir: &Path) -> Option<State> {
    Some(State::open(&dir.join(".state")).unwrap())
}

#[test]
fn status_comes_from_the_state_folder_and_a_damaged_one_holds_its_service_as_it_was() {
    let with_status = service("web") + "status: {loadBalancer: {ingress: [{ip: 10.0.0.9}]}}\n";
    let mut bench = Bench::with(&[("web.yaml", &with_status)], with_state);
    assert_eq!(bench.web().ingress.as_slice(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);

    let address: IpAddr = "10.0.0.1".parse().unwrap();
    Leader::of(&bench).gives("web", &[address]);
    assert_eq!(bench.read(), 1);
    assert_eq!(bench.web().ingress.as_slice(), [address]);

    assert_eq!(bench.write(".state/services/default/web.yaml", "status: ["), 0);
    assert_eq!(bench.web().ingress.as_slice(), [address]);
    assert_eq!(bench.problems().len(), 1);
    assert_eq!(
        bench.write(
            "web.yaml",
            &with_status.replace("LoadBalancer", "LoadBalancer\n  selector: {app: x}")
        ),
        0
    );

    // A process that starts with a damaged status reports nothing about that Service.
    let mut bench =
        Bench::with(&[("web.yaml", &with_status), ("db.yaml", &service("db"))], |dir| {
            let state = State::open(&dir.join(".state")).unwrap();
            fs::create_dir(state.services_dir().join("default")).unwrap();
            fs::write(state.services_dir().join("default/web.yaml"), "").unwrap();
            Some(state)
        });
    assert_eq!(bench.services(), ["default/db"]);
    fs::remove_file(bench.dir.join(".state/services/default/web.yaml")).unwrap();
    assert_eq!(bench.read(), 1);
    assert_eq!(bench.services(), ["default/db", "default/web"]);
}

#[test]
fn a_state_folder_that_is_gone_leaves_every_status_as_it_was() {
    let mut bench = Bench::with(&[("web.yaml", &service("web"))], with_state);
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let leader = Leader::of(&bench);
    leader.gives("web", &[address]);
    assert_eq!(bench.read(), 1);

    fs::remove_dir_all(leader.0.dir()).unwrap();
    assert_eq!(bench.read(), 0);
    assert_eq!(bench.problems().len(), 1);
    assert_eq!(bench.write("web.yaml", &(service("web") + "  selector: {app: x}\n")), 1);
    assert_eq!(bench.web().ingress.as_slice(), [address]);
}

#[tokio::test]
async fn a_change_wakes_who_waits_and_may_be_waited_for_in_a_select() {
    let mut bench = Bench::new(&[]);
    fs::write(bench.dir.join("web.yaml"), service("web")).unwrap();
    bench.folder.changed().await;
    assert_eq!(bench.read(), 1);
    tokio::select! {
        biased;
        () = bench.folder.changed() => panic!("nothing has changed"),
        () = std::future::ready(()) => {}
    }
    fs::write(bench.dir.join("db.yaml"), service("db")).unwrap();
    bench.folder.changed().await;
    assert_eq!(bench.read(), 1);
}

#[tokio::test]
async fn a_status_and_a_new_file_are_told_at_once_and_changed_files_when_their_burst_is_over() {
    let mut bench = Bench::with(&[("web.yaml", &service("web"))], with_state);
    let leader = Leader::of(&bench);
    let address = ["10.0.0.9".parse().unwrap()];
    leader.gives("web", &address);
    bench.folder.changed().now_or_never().expect("a status is whole as soon as it is there");
    assert_eq!(bench.read(), 1);
    assert_eq!(bench.web().ingress.as_slice(), address);

    fs::write(bench.dir.join("db.yaml"), service("db")).unwrap();
    bench.folder.changed().now_or_never().expect("a new file that is closed is whole");
    assert_eq!(bench.read(), 1);

    leader.gives("web", &[]);
    fs::rename(bench.dir.join("db.yaml"), bench.dir.join("shop.yaml")).unwrap();
    assert!(bench.folder.changed().now_or_never().is_none(), "what goes may come elsewhere");
    bench.folder.changed().await;
    assert_eq!(bench.read(), 1, "of the two only the status");

    let half = File::create(bench.dir.join("half.yaml")).unwrap();
    assert!(bench.folder.changed().now_or_never().is_none(), "it is being written");
    drop(half);
}
