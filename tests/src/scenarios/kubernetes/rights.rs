//! RBAC rights of each role, and that all of them are needed.
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{CONTROLLER, NODE, SYSTEM, Stage, leaders, name_of, pods_of};
use crate::kubernetes::Lab;
use crate::kubernetes::audit::Request;
use crate::kubernetes::objects::items;
use crate::product;

/// Checks that with the token of a node's pod, foreign objects are refused: a Service's status, another's Secret, another
/// node's report. Its own report is allowed.
///
/// # Errors
/// When a forbidden request is allowed, or the reverse.
pub fn of_a_node(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "node-rights", 200)?;
    let addresses = stage.service("web", &json!({}))?;
    let pods = pods_of(lab, NODE)?;
    let pod = pods.first().context("no pod of a node")?;
    let own = pod["spec"]["nodeName"].as_str().context("the pod is on no node")?;
    let other = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str());
    let other = other.into_iter().find(|name| *name != own).context("there is one node only")?;
    let token = lab.token_of_pod(NODE, SYSTEM, name_of(pod))?;

    let empty = r#"{"status":{"loadBalancer":null}}"#;
    let patch =
        ["patch", "service", "web", "--namespace", stage.name, "--type=merge", "--patch", empty];
    refused(lab, &token, &[&patch[..], &["--subresource=status"]].concat())?;
    refused(lab, &token, &patch)?;
    for namespace in [SYSTEM, CONTROLLER, stage.name] {
        refused(lab, &token, &["get", "secrets", "--namespace", namespace])?;
        refused(lab, &token, &["get", "secret", "another", "--namespace", namespace])?;
    }
    // Server-side, as the daemon does: kubectl's other ways read first, which a node may not.
    let apply = ["apply", "--server-side", "--validate=false", "--filename"];
    refused(lab, &token, &[&apply[..], &[&report(lab, other)?]].concat())?;
    lab.kubectl_as(&token, &[&apply[..], &[&report(lab, own)?]].concat())?;
    stage.keeps("web", &addresses)
}

/// Writes a file with a NodeReport that has a mark.
fn report(lab: &Lab, node: &str) -> Result<String> {
    let file = lab.folder().join(format!("report-{node}.json"));
    let report = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "NodeReport",
        "metadata": { "name": node, "annotations": { "outrigger.dev/probe": "yes" } },
    });
    std::fs::write(&file, report.to_string())?;
    Ok(file.to_string_lossy().into_owned())
}

fn refused(lab: &Lab, token: &str, arguments: &[&str]) -> Result<()> {
    match lab.kubectl_as(token, arguments) {
        Ok(said) => bail!("kubectl {arguments:?} with a node's token is allowed: {said}"),
        Err(error) => {
            let said = format!("{error:#}").to_lowercase();
            ensure!(
                ["forbidden", "denied"].iter().any(|word| said.contains(word)),
                "kubectl {arguments:?} fails in another way: {said}"
            );
            Ok(())
        }
    }
}

/// Checks that every verb of every rule of both roles has been used since the laboratory started. Runs last.
///
/// # Errors
/// When some were not, with all of those.
pub fn all_used(lab: &Lab) -> Result<()> {
    announcer(lab)?;
    let requests = lab.audit(0)?;
    let mut unused = Vec::new();
    for account in [NODE, leaders::ACCOUNT] {
        let user = format!("system:serviceaccount:{SYSTEM}:{account}");
        let own: Vec<_> = requests.iter().filter(|it| it.user == user && it.code < 400).collect();
        for Right { role, group, resource, verb } in rights(lab, account)? {
            let used = own.iter().any(|request: &&Request| {
                // A server-side apply that creates an object needs the right to create it, and is logged as a patch.
                let created = request.verb == "patch" && request.code == 201 && verb == "create";
                request.group == group
                    && request.resource == resource
                    && (request.verb == verb || created)
            });
            if !used {
                unused.push(format!("{role}: {verb} {resource}"));
            }
        }
    }
    ensure!(unused.is_empty(), "unused RBAC permissions: {}", unused.join(", "));
    Ok(())
}

/// Creates an explicit Announcer, and waits for its conditions.
fn announcer(lab: &Lab) -> Result<()> {
    let file = product::root().join("manifests/layer2.yaml");
    let file = file.to_string_lossy();
    lab.kubectl(&["apply", "--filename", &file])?;
    lab.kubectl(&["wait", "--for=condition=Ready", "announcer/layer2", "--timeout=20s"])?;
    lab.kubectl(&["delete", "--filename", &file]).map(drop)
}

struct Right {
    role: String,
    group: String,
    resource: String,
    verb: String,
}

/// Returns the rights bound to a service account, one entry per verb and resource.
fn rights(lab: &Lab, account: &str) -> Result<Vec<Right>> {
    let mut rights = Vec::new();
    for (binding, role) in [("clusterrolebindings", "clusterrole"), ("rolebindings", "role")] {
        let bindings = lab.get_json(&[binding, "--all-namespaces"])?;
        for binding in items(&bindings).iter().filter(|binding| binds(binding, account)) {
            let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let name = name.as_str().context("a binding without a role")?;
            let role = if kind == "ClusterRole" { "clusterrole" } else { role };
            let namespace = binding["metadata"]["namespace"].as_str().unwrap_or("default");
            let object = lab.get_json(&[role, name, "--namespace", namespace])?;
            for rule in object["rules"].as_array().into_iter().flatten() {
                rights.extend(each(name, rule));
            }
        }
    }
    ensure!(!rights.is_empty(), "no role is bound to {account}");
    Ok(rights)
}

fn binds(binding: &Value, account: &str) -> bool {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.into_iter().any(|subject| {
        subject["kind"] == "ServiceAccount"
            && subject["namespace"] == SYSTEM
            && subject["name"] == account
    })
}

fn each(role: &str, rule: &Value) -> Vec<Right> {
    let words = |field: &str| -> Vec<String> {
        let words = rule[field].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut rights = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            for verb in words("verbs") {
                let (role, group, resource) = (role.to_owned(), group.clone(), resource.clone());
                rights.push(Right { role, group, resource, verb });
            }
        }
    }
    rights
}
