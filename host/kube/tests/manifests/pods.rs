//! Tests that the pods run with what they need, and with nothing that a compromised daemon could misuse.
use serde_json::{Value, json};

use super::{named, text};

fn pods() -> [(&'static str, Value); 2] {
    [("DaemonSet", "outrigger-node"), ("Deployment", "outrigger-controller")]
        .map(|(kind, name)| (name, named(kind, name)["spec"]["template"]["spec"].clone()))
}

fn container(pod: &Value) -> &Value {
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(pod.get("initContainers"), None);
    assert_eq!(text(&containers[0], "/name"), "outrigger");
    &containers[0]
}

fn variable(pod: &Value, name: &str) -> Option<Value> {
    let all = container(pod)["env"].as_array().unwrap();
    all.iter().find(|one| text(one, "/name") == name).cloned()
}

#[test]
fn no_container_is_privileged_or_can_become_it() {
    for (name, pod) in pods() {
        let context = &container(&pod)["securityContext"];
        assert_ne!(context["privileged"], json!(true), "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], json!(false), "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], json!(true), "{name}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert_eq!(text(&pod, "/securityContext/seccompProfile/type"), "RuntimeDefault", "{name}");
        assert_eq!((pod.get("hostPID"), pod.get("hostIPC")), (None, None), "{name}");
    }
}

#[test]
fn the_node_has_net_raw_and_the_controller_nothing() {
    let [(_, node), (_, controller)] = pods();
    let context = &container(&node)["securityContext"];
    assert_eq!(context["capabilities"]["add"], json!(["NET_RAW"]));
    assert_eq!(context["runAsUser"], json!(0));
    assert_eq!(node["hostNetwork"], json!(true));
    let context = &container(&controller)["securityContext"];
    assert_eq!(context["capabilities"].get("add"), None);
    assert_eq!(context.get("runAsUser"), None);
    assert_eq!(controller["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(controller["securityContext"]["runAsUser"], json!(65532));
    assert_eq!(controller.get("hostNetwork"), None);
}

#[test]
fn no_file_of_the_host_is_seen_and_every_mount_is_empty_at_first() {
    for (name, pod) in pods() {
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume.get("emptyDir").is_some(), "{name}: {volume}");
        }
        for (variable_name, mounted, folder) in [
            ("OUTRIGGER_STATE", "/var/lib/outrigger", "state"),
            ("OUTRIGGER_CACHE", "/var/cache/outrigger", "compiled"),
        ] {
            // The path is a folder below the mount, because an emptyDir belongs to root and is writable for all users.
            let path = format!("{mounted}/{folder}");
            assert_eq!(variable(&pod, variable_name).unwrap()["value"], json!(path), "{name}");
            let mounts = container(&pod)["volumeMounts"].as_array().unwrap();
            assert!(mounts.iter().any(|mount| mount["mountPath"] == json!(mounted)), "{name}");
        }
    }
}

#[test]
fn the_node_runs_everywhere_and_is_evicted_last() {
    let [(_, node), (_, controller)] = pods();
    assert_eq!(node["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(text(&node, "/priorityClassName"), "system-node-critical");
    assert_eq!(text(&controller, "/priorityClassName"), "system-cluster-critical");
    assert_eq!(
        variable(&node, "OUTRIGGER_NODE").unwrap()["valueFrom"]["fieldRef"]["fieldPath"],
        json!("spec.nodeName")
    );
    // With this variable, two replicas on one node would be the same leader.
    assert_eq!(variable(&controller, "OUTRIGGER_NODE"), None);
}

#[test]
fn a_pod_that_stops_has_the_time_to_hand_over() {
    let [(_, node), _] = pods();
    let variable = variable(&node, "OUTRIGGER_STOP_WITHIN_SECONDS").unwrap();
    let within: u64 = text(&variable, "/value").parse().unwrap();
    let grace = node["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= within + 5, "{grace} s for a hand-over of {within} s");
}

#[test]
fn one_node_after_the_other_is_upgraded_and_one_controller_stays() {
    let node = named("DaemonSet", "outrigger-node");
    let rolling = json!({ "maxUnavailable": 1, "maxSurge": 0 });
    assert_eq!(node["spec"]["updateStrategy"]["rollingUpdate"], rolling);
    let controller = named("Deployment", "outrigger-controller");
    assert_eq!(controller["spec"]["replicas"], json!(2));
    let budget = named("PodDisruptionBudget", "outrigger-controller");
    assert_eq!(budget["spec"]["maxUnavailable"], json!(1));
    assert_eq!(budget["spec"]["selector"], controller["spec"]["selector"]);
}

#[test]
fn probes_ask_the_port_that_is_served_and_cpu_is_not_limited() {
    for (name, pod) in pods() {
        let container = container(&pod);
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "http" }));
        }
        assert_eq!(variable(&pod, "OUTRIGGER_HTTP").unwrap()["value"], json!("[::]:7480"));
        let ports = container["ports"].as_array().unwrap();
        assert!(ports.contains(&json!({ "name": "http", "containerPort": 7480 })), "{name}");
        let resources = &container["resources"];
        assert!(resources["requests"]["cpu"].is_string(), "{name}");
        assert!(resources["requests"]["memory"].is_string(), "{name}");
        assert_eq!(resources["limits"].get("cpu"), None, "{name}");
    }
}

#[test]
fn selectors_choose_the_pods_they_are_about() {
    for (kind, name) in [("DaemonSet", "outrigger-node"), ("Deployment", "outrigger-controller")] {
        let object = named(kind, name);
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        for (key, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&labels[key], value, "{name}");
        }
    }
}
