//! Tests that the granted permissions are those that docs/rbac.md explains.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{installed, named, read, text};

const DOCS: &str = "docs/rbac.md";

/// One permission as text: account, place, group, resource, name, verb.
type Permission = [String; 6];

fn strings(rule: &Value, field: &str) -> Vec<String> {
    let list = rule[field].as_array().cloned().unwrap_or_default();
    list.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// Returns the permissions that a role grants to the account it is bound to.
fn granted(role: &Value) -> BTreeSet<Permission> {
    let namespace = text(role, "/metadata/namespace");
    let place = if namespace.is_empty() { "cluster" } else { namespace };
    let account = text(role, "/metadata/name").trim_start_matches("outrigger-");
    let mut permissions = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = match strings(rule, "resourceNames") {
            names if names.is_empty() => vec!["any".to_owned()],
            names => names,
        };
        for group in strings(rule, "apiGroups") {
            let group = if group.is_empty() { "core".to_owned() } else { group };
            for resource in strings(rule, "resources") {
                for name in &names {
                    for verb in strings(rule, "verbs") {
                        let one = [account, place, &group, &resource, name, &verb];
                        let added = permissions.insert(one.map(str::to_owned));
                        assert!(added, "{one:?} is granted twice");
                    }
                }
            }
        }
    }
    permissions
}

fn roles() -> impl Iterator<Item = Value> {
    let is_role = |object: &Value| ["Role", "ClusterRole"].contains(&text(object, "/kind"));
    installed().into_iter().filter(is_role)
}

fn all_granted() -> BTreeSet<Permission> {
    roles().flat_map(|role| granted(&role)).collect()
}

/// Returns the table in the docs: each permission with its reason.
fn explained() -> BTreeMap<Permission, String> {
    let docs = read(DOCS);
    let rows = docs
        .lines()
        .filter(|line| line.starts_with("| node |") || line.starts_with("| controller |"));
    let mut all = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [account, place, group, resource, name, verbs, reason] = cells[..] else {
            panic!("{DOCS}: not seven cells: {row}");
        };
        for verb in verbs.split(", ") {
            let one = [account, place, group, resource, name, verb].map(str::to_owned);
            let before = all.insert(one, reason.to_owned());
            assert_eq!(before, None, "{DOCS}: twice: {row}");
        }
    }
    all
}

#[test]
fn every_rule_is_explained_and_nothing_else_is() {
    let explained = explained();
    assert!(explained.values().all(|reason| reason.len() > 3));
    let explained: BTreeSet<_> = explained.into_keys().collect();
    let granted = all_granted();
    let unexplained: Vec<_> = granted.difference(&explained).collect();
    assert_eq!(unexplained, Vec::<&Permission>::new(), "granted, but not in {DOCS}");
    let invented: Vec<_> = explained.difference(&granted).collect();
    assert_eq!(invented, Vec::<&Permission>::new(), "in {DOCS}, but not granted");
}

#[test]
fn nobody_may_do_everything() {
    for permission in all_granted() {
        assert!(permission.iter().all(|word| word != "*"), "{permission:?}");
    }
}

#[test]
fn a_node_writes_nothing_but_node_reports() {
    for [account, _, _, resource, _, verb] in all_granted() {
        let reads = ["get", "list", "watch"].contains(&verb.as_str());
        let report = resource == "nodereports" || resource == "nodereports/status";
        assert!(account != "node" || reads || report, "{verb} {resource}");
        assert!(account != "node" || verb != "delete", "{verb} {resource}");
    }
}

#[test]
fn secrets_are_read_only_in_namespaces_of_outrigger_and_by_nodes_only_by_name() {
    for [account, place, _, resource, name, _] in all_granted() {
        if resource == "secrets" {
            assert!(place.starts_with("outrigger-"), "{account} in {place}");
            assert!(account != "node" || name == "outrigger-gossip", "{name}");
            assert!(account != "node" || place == "outrigger-system", "{place}");
        }
    }
}

#[test]
fn every_role_is_bound_to_the_account_of_its_name() {
    for role in roles() {
        let name = text(&role, "/metadata/name").to_owned();
        let namespace = text(&role, "/metadata/namespace").to_owned();
        let binding = installed().into_iter().find(|object| {
            text(object, "/kind") == format!("{}Binding", text(&role, "/kind"))
                && text(object, "/metadata/name") == name
                && text(object, "/metadata/namespace") == namespace
        });
        let binding = binding.unwrap_or_else(|| panic!("{name} is bound to nobody"));
        assert_eq!(text(&binding, "/roleRef/kind"), text(&role, "/kind"));
        assert_eq!(text(&binding, "/roleRef/name"), name);
        let subjects = binding["subjects"].as_array().unwrap();
        let subject = subjects.first().filter(|_| subjects.len() == 1).unwrap();
        assert_eq!(text(subject, "/kind"), "ServiceAccount");
        assert_eq!(text(subject, "/name"), name);
        assert_eq!(text(subject, "/namespace"), "outrigger-system");
    }
}

#[test]
fn the_admission_policy_is_about_what_nodes_may_write() {
    let policy = named("ValidatingAdmissionPolicy", "outrigger-node-report");
    let rules = &policy["spec"]["matchConstraints"]["resourceRules"];
    let about: BTreeSet<_> = strings(&rules[0], "resources").into_iter().collect();
    let written: BTreeSet<_> = all_granted()
        .into_iter()
        .filter(|[account, .., verb]| {
            account == "node" && !["get", "list", "watch"].contains(&verb.as_str())
        })
        .map(|[_, _, _, resource, _, _]| resource)
        .collect();
    assert_eq!(about, written);
    assert_eq!(text(&policy, "/spec/failurePolicy"), "Fail");
    let binding = named("ValidatingAdmissionPolicyBinding", "outrigger-node-report");
    assert_eq!(text(&binding, "/spec/policyName"), "outrigger-node-report");
    assert_eq!(binding["spec"]["validationActions"], serde_json::json!(["Deny"]));
}
