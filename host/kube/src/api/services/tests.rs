//! Tests of the current status, the intended status, and the write between them.
use super::*;

const NOW: Time = Time { monotonic_us: 0, utc_us: 1_700_000_000_900_000 };

fn object(status: &str, managers: &str) -> Service {
    let text = format!(
        "{{metadata: {{namespace: a, name: web, uid: u, resourceVersion: '7', generation: 2, managedFields: [{managers}]}}, spec: {{type: LoadBalancer}}, status: {status}}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

/// Returns the managed field that shows that this manager wrote the ingress.
fn by(manager: &str) -> String {
    format!(
        "{{manager: {manager}, operation: Apply, subresource: status, fieldsV1: {{'f:status': {{'f:loadBalancer': {{'f:ingress': {{}}}}}}}}}}"
    )
}

fn wanted(addresses: &[&str], status: bool, reason: &str) -> Wanted {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let (reason, message) = (reason.to_owned(), "why".to_owned());
    Wanted { addresses, writes_ingress: true, allocated: Allocated { status, reason, message } }
}

fn said(object: &Service, wanted: Option<&Wanted>) -> Option<Value> {
    observe(object).unwrap().status(wanted, NOW)
}

fn condition(status: &str, reason: &str, since: &str) -> Value {
    json!({
        "type": ALLOCATED, "status": status, "reason": reason, "message": "why",
        "observedGeneration": 2, "lastTransitionTime": since,
    })
}

#[test]
fn a_first_address_is_written_with_its_condition() {
    let status = said(&object("{}", ""), Some(&wanted(&["192.0.2.1"], true, "Allocated")));
    assert_eq!(
        status.unwrap(),
        json!({
            "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] },
            "conditions": [condition("True", "Allocated", "2023-11-14T22:13:20Z")],
        })
    );
}

#[test]
fn what_holds_already_is_not_written_again() {
    let held = "{loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: VIP}]}, conditions: [{type: outrigger.dev/Allocated, status: 'True', reason: Allocated, message: why, lastTransitionTime: '2023-01-01T00:00:00Z', observedGeneration: 1}]}";
    let object = object(held, &by("outrigger-controller"));
    assert_eq!(said(&object, Some(&wanted(&["192.0.2.1"], true, "Allocated"))), None);
    let more = said(&object, Some(&wanted(&["192.0.2.1"], true, "Other"))).unwrap();
    assert_eq!(more["conditions"][0], condition("True", "Other", "2023-01-01T00:00:00Z"));
}

#[test]
fn what_others_said_about_an_address_is_kept() {
    let held = "{loadBalancer: {ingress: [{hostname: web.example.org}, {ip: 192.0.2.1, ipMode: Proxy, hostname: h}]}}";
    let status = said(&object(held, ""), Some(&wanted(&["192.0.2.1", "2001:db8::1"], true, "A")));
    assert_eq!(
        status.unwrap()["loadBalancer"]["ingress"],
        json!([
            { "ip": "192.0.2.1", "ipMode": "Proxy", "hostname": "h" },
            { "ip": "2001:db8::1" },
            { "hostname": "web.example.org" },
        ])
    );
}

#[test]
fn an_address_that_another_controller_wrote_is_not_taken_out() {
    let held = "{loadBalancer: {ingress: [{ip: 198.51.100.1}]}}";
    let left =
        Wanted { writes_ingress: false, ..wanted(&["198.51.100.1"], false, "ForeignAddress") };
    let status = said(&object(held, &by("metallb")), Some(&left)).unwrap();
    assert!(status.get("loadBalancer").is_none(), "only the condition is written: {status}");
    let pending = wanted(&[], false, "NoPool");
    let ours = said(&object(held, &by("outrigger-controller")), Some(&pending)).unwrap();
    assert_eq!(ours["loadBalancer"]["ingress"], json!([]), "ours is");
}

#[test]
fn a_service_that_is_not_ours_any_more_loses_what_we_left_in_it() {
    let mut object = object(
        "{conditions: [{type: outrigger.dev/Allocated, status: 'True', reason: A, message: m, lastTransitionTime: '2023-01-01T00:00:00Z'}]}",
        &by("outrigger-controller"),
    );
    object.spec.as_mut().unwrap().type_ = Some("ClusterIP".to_owned());
    assert_eq!(said(&object, None), Some(json!({})));
    object.status = None;
    assert!(observe(&object).is_none(), "nothing is left to look after");
}

#[test]
fn a_service_that_never_was_ours_is_left_alone() {
    assert_eq!(said(&object("{loadBalancer: {ingress: [{ip: 198.51.100.1}]}}", ""), None), None);
}
