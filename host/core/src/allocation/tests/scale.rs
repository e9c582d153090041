//! Work is O(what changed): counted in questions, not in seconds.
use super::*;

fn many(count: usize) -> Vec<Service> {
    (0..count).map(|n| service(&format!("s{n:05}"))).collect()
}

#[test]
fn ten_thousand_services_are_asked_once_each() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/18"])], many(10_000));
    assert_eq!((rig.asked.len(), rig.said().len()), (10_000, 10_000));
    rig.put(with(service("s05000"), |it| it.labels = [("x".into(), "y".into())].into()));
    rig.remove("s00017");
    rig.rest();
    rig.put(service("t"));
    assert_eq!(rig.said(), ["t 10.0.0.17 Allocated"]);
    assert_eq!(rig.asked.len(), 10_001);
}

#[test]
fn one_free_address_is_not_offered_to_a_thousand_policies() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/32"])], many(1_000));
    assert_eq!(rig.asked.len(), 1);
    rig.remove("s00000");
    assert_eq!(rig.asked.len(), 1);
    rig.rest();
    assert_eq!((rig.asked.len(), rig.held("s00001")), (2, "10.0.0.0".into()));
}
