//! Migration from MetalLB with one command: every address is kept, the way back works, and `why` explains the state.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::asked::{await_why, outrigger, why};
use super::{LIMIT, Stage, install, name_of, uninstall};
use crate::kubernetes::audit::Request;
use crate::kubernetes::metallb::{self, Release};
use crate::kubernetes::objects::{ingress, items};
use crate::kubernetes::segment::{Member, SECOND};
use crate::kubernetes::{Lab, web};
use crate::{http, product, wait};

/// Namespace of the Services that move.
const NAME: &str = "leaving";
/// Network of the example's ConfigMap.
const OLD_NETWORK: &str = "192.168.1";
/// Time in which no status may be written once everything has settled.
const QUIET: Duration = Duration::from_secs(3);
/// Type of a Service's condition.
const ALLOCATED: &str = "outrigger.dev/Allocated";

/// Returns the output of a complete import without warnings.
fn imported(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let answer = outrigger(lab, &[&["import", "metallb"], arguments].concat())?;
    ensure!(
        answer.code == Some(0) && answer.stderr.is_empty(),
        "import ends with {:?}: {}",
        answer.code,
        answer.stderr
    );
    Ok(answer.stdout)
}

/// Checks that the ConfigMap of MetalLB 0.9 from the examples, applied with kubectl and imported, gives the example's Service
/// 192.168.1.240; that `why` names the network that is missing on the nodes; and that with it the client reaches the Service.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn old_config_map(lab: &Lab) -> Result<()> {
    let result = play_old_config_map(lab);
    for what in [
        &["delete", "namespace", NAME, "metallb-system"][..],
        &["delete", "addresspool", "default"],
        &["delete", "configmap", "imported-from-metallb", "--namespace", super::SYSTEM],
    ] {
        let deleted = lab.kubectl(&[what, &["--ignore-not-found", "--timeout=60s"]].concat());
        if let Err(error) = deleted {
            eprintln!("not removed: {error:#}");
        }
    }
    address_old_network(lab, "del")?;
    result
}

fn play_old_config_map(lab: &Lab) -> Result<()> {
    let example = |file: &str| {
        let path = product::root().join("examples/metallb-v0.9").join(file);
        path.to_string_lossy().into_owned()
    };
    lab.kubectl(&["create", "namespace", "metallb-system"])?;
    lab.kubectl(&["apply", "--filename", &example("config.yaml")])?;
    let ours = imported(lab, &[])?;
    lab.apply(&ours)?;
    ensure!(
        imported(lab, &["--undo", "-o", "json"])?.contains("address-pools"),
        "import --undo prints no address-pools"
    );
    web::deploy(lab, NAME, u8::try_from(lab.nodes().count())?)?;
    lab.kubectl(&["apply", "--namespace", NAME, "--filename", &example("service.yaml")])?;
    let address: IpAddr = format!("{OLD_NETWORK}.240").parse()?;
    let had = await_addresses(lab, 1)?;
    ensure!(had == [("web".to_owned(), vec![address])].into(), "{had:?}");
    let service = format!("{NAME}/web");
    await_why(lab, &service, &["no address of the network of 192.168.1.240", "What to change"])?;
    address_old_network(lab, "add")?;
    let stage = Stage { lab, name: NAME };
    stage.answer(address, |answer| lab.node(answer).is_ok())?;
    // One node answers, and `why` explains why the others do not.
    await_why(lab, &service, &["answers for 192.168.1.240.", "standby: n"])?;
    let by_address = why(lab, "192.168.1.240")?;
    ensure!(by_address.contains("Service leaving/web has 192.168.1.240"), "{by_address}");
    let free = why(lab, "192.168.1.241")?;
    ensure!(free.contains("it is free, and in pool \"default\""), "{free}");
    status(lab, &service)
}

/// Checks that `status`, also as a kubectl plugin, names the pool, the address and the answering node.
fn status(lab: &Lab, service: &str) -> Result<()> {
    let answer = outrigger(lab, &["status"])?;
    let line = answer.stdout.lines().find(|line| line.starts_with(service));
    let line = line.with_context(|| format!("{}{}", answer.stdout, answer.stderr))?;
    ensure!(line.contains("192.168.1.240") && line.contains(" UTC"), "{line}");
    ensure!(
        answer.stdout.contains("\ndefault ") || answer.stdout.starts_with("POOL"),
        "{}",
        answer.stdout
    );
    let folder = lab.folder().join("bin");
    std::fs::create_dir_all(&folder)?;
    let plugin = folder.join("kubectl-outrigger");
    std::os::unix::fs::symlink(product::binary()?, &plugin)?;
    let mut kubectl = lab.kubectl_command(&lab.kubeconfig());
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    // kubectl passes its own flags on only when they come after the name.
    let mut arguments: Vec<_> = kubectl.get_args().map(std::ffi::OsStr::to_owned).collect();
    let flags = arguments.split_off(arguments.len() - 2);
    let mut plain = Command::new(kubectl.get_program());
    plain.args(arguments).args(["outrigger", "status", "-o", "json"]).args(flags);
    kubectl = plain;
    let output = product::unconfigured(kubectl).env("PATH", path).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value = serde_json::from_slice(&output.stdout).with_context(|| said)?;
    let nodes = json["services"].as_array().into_iter().flatten();
    let own = nodes.filter(|one| one["namespace"] == NAME).find(|one| one["name"] == "web");
    let own = own.context("kubectl outrigger status has no such Service")?;
    ensure!(own["addresses"][0]["nodes"].as_array().is_some_and(|nodes| nodes.len() == 1), "{own}");
    Ok(())
}

/// Adds the example's network to the second segment, or removes it.
fn address_old_network(lab: &Lab, action: &str) -> Result<()> {
    let network = lab.network();
    let members = network.members().filter(|member| *member != Member::ControlPlane);
    for member in members {
        let command = format!(
            "addr {action} {OLD_NETWORK}.{}/24 dev {}\n",
            member.host(),
            SECOND.interface()
        );
        let done = network.of(member).ip(&command);
        if action == "add" {
            done?;
        }
    }
    Ok(())
}

/// Migrates ten Services of real MetalLB: imported, removed and replaced by Outrigger, all ten keep their addresses and answer;
/// with both installed there are no conflicting writes; and back at MetalLB they still answer.
///
/// # Errors
/// When an address changes, a Service does not answer, or the two conflict.
pub fn there_and_back(lab: &Lab) -> Result<()> {
    let release = Release::obtain()?;
    uninstall::uninstall(lab, &[])?;
    release.install(lab)?;
    metallb::configure(lab, &metallbs().join("\n---\n"))?;
    web::deploy(lab, NAME, u8::try_from(lab.nodes().count())?)?;
    lab.apply(&services().iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"))?;
    let had = await_addresses(lab, 10)?;
    all_answer(lab, &had).context("with MetalLB")?;

    let ours = imported(lab, &[])?;
    release.remove(lab)?;
    keep(lab, &had).context("without a load balancer")?;
    install(lab, &product::image()?)?;
    lab.apply(&ours)?;
    await_conditions(lab, |service| condition(service)["reason"] == "Allocated")?;
    keep(lab, &had).context("with Outrigger")?;
    all_answer(lab, &had).context("with Outrigger")?;

    let theirs = imported(lab, &["--undo"])?;
    both(lab, &release, &theirs).context("with both")?;
    keep(lab, &had).context("with both")?;

    uninstall::uninstall(lab, &["--keep-addresses"])?;
    keep(lab, &had).context("back with MetalLB")?;
    all_answer(lab, &had).context("back with MetalLB")?;
    lab.kubectl(&["delete", "namespace", NAME, "--timeout=60s"])?;
    release.remove(lab)
}

/// Installs MetalLB beside Outrigger, with the same pools and one of its own. Checks that neither reverts the other's writes,
/// and that Outrigger reports the foreign Service as foreign.
fn both(lab: &Lab, release: &Release, theirs: &str) -> Result<()> {
    release.prepare(lab)?;
    lab.apply(theirs)?;
    release.install(lab)?;
    let own = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": { "name": "theirs", "namespace": metallb::NAMESPACE },
        "spec": { "addresses": ["10.88.0.178/32"] },
    });
    metallb::configure(lab, &own.to_string())?;
    let annotation = json!({ "metallb.io/address-pool": "theirs" });
    lab.apply(
        &service(
            "foreign",
            json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"] }),
            annotation,
        )
        .to_string(),
    )?;
    let mut said = String::new();
    wait::until("Outrigger reports the owner of the Service", LIMIT, || {
        let service = lab.get_json(&["service", "foreign", "--namespace", NAME])?;
        said = condition(&service).to_string();
        let is_theirs = ingress(&service) == ["10.88.0.178".parse::<IpAddr>()?];
        Ok((is_theirs && said.contains("written by another controller")).then_some(()))
    })
    .with_context(|| said)?;
    // One of them may have to write again because the other was faster; a conflict would never end.
    wait::until("no status is written any more", LIMIT, || {
        let mark = lab.audit_mark()?;
        std::thread::sleep(QUIET);
        let requests = lab.audit(mark)?;
        let is_status = |it: &&Request| it.resource == "services/status" && it.namespace == NAME;
        Ok((!requests.iter().filter(is_status).any(Request::writes)).then_some(()))
    })?;
    await_why(
        lab,
        &format!("{NAME}/foreign"),
        &["written by another controller", "outrigger.dev/adopt=true"],
    )?;
    lab.kubectl(&["delete", "service", "foreign", "--namespace", NAME]).map(drop)
}

/// Returns pools of MetalLB, and their announcements.
fn metallbs() -> Vec<String> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": kind,
            "metadata": { "name": name, "namespace": metallb::NAMESPACE }, "spec": spec,
        })
        .to_string()
    };
    vec![
        object(
            "IPAddressPool",
            "lan",
            json!({ "addresses": ["10.88.0.150-10.88.0.159", "fd88::1:150-fd88::1:159"] }),
        ),
        object(
            "IPAddressPool",
            "vip",
            json!({ "addresses": ["10.88.0.160/28"], "autoAssign": false }),
        ),
        object(
            "L2Advertisement",
            "second",
            json!({ "ipAddressPools": ["lan", "vip"], "interfaces": ["eth1"] }),
        ),
    ]
}

/// Returns single-stack and dual-stack Services, with shared and pinned addresses among them.
fn services() -> Vec<Value> {
    let four = || json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"] });
    let with = |mut spec: Value, field: &str, value: Value| {
        spec[field] = value;
        spec
    };
    let shared = || json!({ "metallb.io/allow-shared-ip": "one" });
    let second_port = json!([{ "port": 81, "targetPort": 8080 }]);
    vec![
        service("four", four(), json!({})),
        service(
            "six",
            json!({ "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"] }),
            json!({}),
        ),
        service("dual", json!({}), json!({})),
        service("preferred", json!({ "ipFamilyPolicy": "PreferDualStack" }), json!({})),
        service("local", json!({ "externalTrafficPolicy": "Local" }), json!({})),
        service("by-field", with(four(), "loadBalancerIP", json!("10.88.0.158")), json!({})),
        service(
            "by-annotation",
            json!({}),
            json!({ "metallb.io/loadBalancerIPs": "10.88.0.159,fd88::1:159" }),
        ),
        service("shared", four(), shared()),
        service("shared-too", with(four(), "ports", second_port), shared()),
        service("from-pool", four(), json!({ "metallb.universe.tf/address-pool": "vip" })),
    ]
}

fn service(name: &str, spec: Value, annotations: Value) -> Value {
    let mut service = web::service(NAME, name, &spec);
    service["spec"]["type"] = json!("LoadBalancer");
    service["metadata"]["annotations"] = annotations;
    service
}

type Addresses = BTreeMap<String, Vec<IpAddr>>;

fn listed(lab: &Lab) -> Result<Vec<Value>> {
    let list = lab.get_json(&["services", "--namespace", NAME])?;
    let balanced = |service: &&Value| service["spec"]["type"] == "LoadBalancer";
    Ok(items(&list).iter().filter(balanced).cloned().collect())
}

fn addresses(lab: &Lab) -> Result<Addresses> {
    let services = listed(lab)?;
    Ok(services.iter().map(|one| (name_of(one).to_owned(), ingress(one))).collect())
}

/// Waits until every Service has one address for each of its families.
fn await_addresses(lab: &Lab, count: usize) -> Result<Addresses> {
    let mut last = Addresses::new();
    let all = wait::until(&format!("{count} Services have their addresses"), LIMIT, || {
        let services = listed(lab)?;
        let complete = |one: &&Value| {
            one["spec"]["ipFamilies"].as_array().is_some_and(|all| all.len() == ingress(one).len())
        };
        last = services.iter().map(|one| (name_of(one).to_owned(), ingress(one))).collect();
        Ok((services.iter().filter(complete).count() == count).then(|| last.clone()))
    });
    all.with_context(|| format!("{last:?}"))
}

fn keep(lab: &Lab, had: &Addresses) -> Result<()> {
    let has = addresses(lab)?;
    ensure!(has == *had, "had {had:?} and has {has:?}");
    Ok(())
}

/// Checks that the client gets an answer from every address.
fn all_answer(lab: &Lab, had: &Addresses) -> Result<()> {
    let services = listed(lab)?;
    let client = lab.namespace("client")?;
    for service in &services {
        let port = service["spec"]["ports"][0]["port"].as_u64().unwrap_or_default();
        for address in &had[name_of(service)] {
            let target = SocketAddr::from((*address, u16::try_from(port)?));
            client.inside(|| {
                let what = format!("{} answers on {target}", name_of(service));
                wait::until(&what, LIMIT, || {
                    Ok(http::get(target, Duration::from_millis(500)).ok().map(drop))
                })
            })?;
        }
    }
    Ok(())
}

/// Returns the product's condition on a Service.
fn condition(service: &Value) -> &Value {
    let conditions = service["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|one| one["type"] == ALLOCATED).unwrap_or(&Value::Null)
}

fn await_conditions(lab: &Lab, expected: fn(&Value) -> bool) -> Result<()> {
    let mut said = Vec::new();
    wait::until("every Service's condition is as expected", LIMIT, || {
        let services = listed(lab)?;
        said = services.iter().map(|one| condition(one).to_string()).collect();
        Ok(services.iter().all(expected).then_some(()))
    })
    .with_context(|| said.join("\n"))
}
