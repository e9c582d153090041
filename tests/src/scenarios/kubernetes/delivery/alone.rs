//! Deliveries beside a real API server without nodes: refusals, copies and their removal, and policies, which need no node to
//! be tried.
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::alone::{apply, await_condition, pool, prepare};
use super::super::objects::await_event;
use super::super::{LIMIT, SYSTEM};
use super::{
    Packing, await_reason, await_status, copies, deliver, digest, reason, status, take_back,
};
use crate::guests::Guests;
use crate::kubernetes::Lab;
use crate::kubernetes::controllers::Controller;
use crate::kubernetes::objects::ingress;
use crate::{product, wait};

/// Checks that an invalid plugin is refused with the reason, and is not copied.
///
/// # Errors
/// When one is not refused, or has another reason.
pub fn refused(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    let guests = Guests::build()?;
    let _controller = Controller::start(lab, "refuses")?;
    let bytes = lab.folder().join("bytes");
    std::fs::write(&bytes, b"\x00\xff\xfe neither text nor WebAssembly")?;
    let bomb = lab.folder().join("bomb");
    std::fs::write(&bomb, vec![0; 65 << 20])?;
    for (file, packing, expected, words) in [
        (&bytes, Packing::Plain, "NotAPlugin", &["binary file", "ConfigMap mine"][..]),
        (&bomb, Packing::Gzip, "TooLarge", &["gzip", "strip"]),
        (&guests.lowest_free, Packing::Gzip, "WrongWorld", &["allocator", "another name"]),
    ] {
        deliver(lab, "mine", "layer2", file, packing, &json!({}))?;
        let said = await_reason(lab, "layer2", expected)?;
        let message = reason(&said).1;
        ensure!(words.iter().all(|word| message.contains(word)), "{expected}: {message}");
        ensure!(said["active"]["build"] == "embedded", "active is {}", said["active"]);
        ensure!(said["phase"] == "Refused", "the phase is {}", said["phase"]);
        ensure!(copies(lab)?.is_empty(), "a copy of a refused build exists: {:?}", copies(lab)?);
    }
    await_event(lab, "layer2", &["ConfigMap mine was refused", "another name"])?;
    let image = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "mine",
            "namespace": SYSTEM,
            "labels": { "outrigger.dev/plugin": "layer2" },
        },
        "data": { "image": "registry.example/plugin@sha256:0" },
    });
    lab.apply(&image.to_string())?;
    let said = await_reason(lab, "layer2", "ImageUnsupported")?;
    ensure!(reason(&said).1.contains("OCI"), "{}", reason(&said).1);
    take_back(lab, "mine")?;
    await_reason(lab, "layer2", "InForce")?;
    sizes(lab, &guests.layer2)
}

/// Checks that the documentation names the workaround for sizes that kubectl and the API server refuse.
fn sizes(lab: &Lab, component: &Path) -> Result<()> {
    let docs = std::fs::read_to_string(product::root().join("docs/plugins.md"))?;
    let create = |file: &Path| -> Result<PathBuf> {
        let from = format!("--from-file=plugin.wasm={}", file.display());
        let text = lab.kubectl(&[
            "create",
            "configmap",
            "large",
            "--namespace",
            SYSTEM,
            &from,
            "--dry-run=client",
            "--output=json",
        ])?;
        let path = lab.folder().join("large.json");
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let path = create(component)?;
    let path = path.to_string_lossy();
    let error = lab.kubectl(&["apply", "--filename", &path]).err();
    let error = format!("{:#}", error.context("client-side apply accepts a large ConfigMap")?);
    ensure!(error.contains("262144"), "unexpected error: {error}");
    ensure!(docs.contains("--server-side") && docs.contains("262144"), "docs/plugins.md");
    lab.kubectl(&["apply", "--server-side", "--filename", &path])?;
    take_back(lab, "large")?;
    let large = lab.folder().join("large.wasm");
    std::fs::write(&large, incompressible(component)?)?;
    let path = create(&large)?;
    let apply = lab.kubectl(&["apply", "--server-side", "--filename", &path.to_string_lossy()]);
    let error = format!("{:#}", apply.err().context("a ConfigMap above 1 MiB is accepted")?);
    ensure!(error.contains("1048576"), "unexpected error: {error}");
    ensure!(docs.contains("1048576") && docs.contains("data.image"), "docs/plugins.md");
    // The product never sees a delivery that the API server refuses; `inspect` reports it beforehand.
    let said = inspect(&large)?;
    ensure!(said["configMap"]["fits"] == json!([]), "{said}");
    let message = said["configMap"]["message"].to_string();
    ensure!(message.contains("OCI") && message.contains("data.image"), "{said}");
    let said = inspect(component)?;
    ensure!(said["configMap"]["fits"][0] == "plugin.wasm", "{said}");
    Ok(())
}

/// Returns the component with more content than a ConfigMap can hold, however it is compressed: a custom section, which every
/// reader skips (Component Model, Binary.md: a section is an octet for its kind, its size in LEB128, and the octets).
fn incompressible(component: &Path) -> Result<Vec<u8>> {
    let mut random = vec![0; 1_100 << 10];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut component = std::fs::read(component)?;
    let name = b"\x05extra";
    let size = u32::try_from(name.len() + random.len()).context("a section is smaller")?;
    component.push(0);
    component.extend((0..5).map(|at| {
        let seven = (size >> (7 * at)) as u8 & 0x7f;
        if at < 4 { seven | 0x80 } else { seven }
    }));
    component.extend_from_slice(name);
    component.extend(random);
    Ok(component)
}

/// Returns the output of `outrigger plugin inspect`.
fn inspect(component: &Path) -> Result<Value> {
    let mut command = product::unconfigured(Command::new(product::binary()?));
    let output = command.args(["plugin", "inspect", "-o", "json"]).arg(component).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", component.display());
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Checks that a delivery that cannot be tried anywhere waits, that its copy is immutable and removed when it is no longer
/// needed, and that of two ConfigMaps for one name neither takes over.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn copied_and_swept(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    let guests = Guests::build()?;
    let _controller = Controller::start(lab, "copies")?;
    let other = digest(&guests.layer2_other)?;
    deliver(lab, "one", "layer2", &guests.layer2_other, Packing::Gzip, &json!({}))?;
    let said = await_reason(lab, "layer2", "NoNode")?;
    ensure!(said["candidate"]["digest"] == other, "{said}");
    let copy = format!("plugin-layer2-{other:.12}");
    ensure!(copies(lab)? == [copy.as_str()], "{:?}", copies(lab)?);
    // The copy is deleted from outside.
    lab.kubectl(&["delete", "configmap", &copy, "--namespace", SYSTEM])?;
    wait::until("the copy exists again", LIMIT, || {
        Ok((copies(lab)? == [copy.as_str()]).then_some(()))
    })?;

    deliver(lab, "two", "layer2", &guests.trap, Packing::Gzip, &json!({}))?;
    let said = await_reason(lab, "layer2", "SeveralConfigMaps")?;
    ensure!(reason(&said).1.contains("one, two"), "{}", reason(&said).1);
    ensure!(said["candidate"]["digest"] == other, "a different candidate is tried: {said}");
    take_back(lab, "one")?;
    let trap = digest(&guests.trap)?;
    await_status(lab, "layer2", "tries the remaining build", |status| {
        status["candidate"]["digest"] == trap
    })?;
    let copy = format!("plugin-layer2-{trap:.12}");
    wait::until("only the needed copy exists", LIMIT, || {
        Ok((copies(lab)? == [copy.as_str()]).then_some(()))
    })?;
    take_back(lab, "two")?;
    await_reason(lab, "layer2", "InForce")?;
    wait::until("no copy is left", LIMIT, || Ok(copies(lab)?.is_empty().then_some(())))
}

/// Checks that a policy is swapped and reverts to the embedded one, and that a policy with a new name disappears with its
/// ConfigMap.
///
/// # Errors
/// When a Service gets another address than that policy would allocate.
pub fn policies(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    let guests = Guests::build()?;
    let controller = Controller::start(lab, "policies")?;
    lab.apply(&pool("lan", &["10.94.0.0/28"]).to_string())?;
    let address = |name: &str| -> Result<String> {
        apply(lab, name, &json!({}))?;
        await_condition(lab, name, &["10.94.0."])?;
        let service = lab.get_json(&["service", name, "--namespace", "bad"])?;
        Ok(ingress(&service).first().context("no address")?.to_string())
    };
    let quick = json!({ "outrigger.dev/settle-seconds": "1" });
    let highest = digest(&guests.highest_free)?;
    ensure!(address("lowest")? == "10.94.0.0", "lowest-free assigned a different address");
    deliver(lab, "policy", "lowest-free", &guests.highest_free, Packing::Plain, &quick)?;
    await_status(lab, "lowest-free", "is the highest", |it| it["active"]["digest"] == highest)?;
    ensure!(address("highest")? == "10.94.0.15", "the active policy did not choose the address");
    let patient = json!({ "outrigger.dev/settle-seconds": "60" });
    deliver(lab, "policy", "lowest-free", &guests.trap_in_allocate, Packing::Plain, &patient)?;
    await_reason(lab, "lowest-free", "RollingOut")?;
    await_tried(&controller, &guests.trap_in_allocate)?;
    ensure!(
        address("served")? == "10.94.0.14",
        "the previously active policy did not choose the address"
    );
    let said = await_reason(lab, "lowest-free", "Trapped")?;
    ensure!(said["active"]["digest"] == highest && said["phase"] == "RolledBack", "{said}");
    take_back(lab, "policy")?;
    await_status(lab, "lowest-free", "is the embedded one", |status| {
        status["active"]["build"] == "embedded" && status["phase"] == "Active"
    })?;
    ensure!(
        address("lowest-again")? == "10.94.0.1",
        "the embedded policy did not choose the address"
    );

    deliver(lab, "new", "my-policy", &guests.highest_free, Packing::Plain, &quick)?;
    await_status(lab, "my-policy", "is active", |it| it["active"]["digest"] == highest)?;
    let mut own = pool("lan", &["10.94.0.0/28"]);
    own["spec"]["allocator"] = json!({ "plugin": "my-policy" });
    lab.apply(&own.to_string())?;
    await_pool_ready(lab)?;
    ensure!(address("mine")? == "10.94.0.13", "the new policy did not choose the address");
    take_back(lab, "new")?;
    wait::until("the objects of the removed plugin are gone", LIMIT, || {
        Ok((status(lab, "my-policy")?.is_null()).then_some(()))
    })?;
    lab.kubectl(&["delete", "--raw", "/api/v1/namespaces/bad/services"]).map(drop)
}

fn await_pool_ready(lab: &Lab) -> Result<()> {
    // The pool uses the policy of its spec from the moment it is read, which its status shows.
    std::thread::sleep(Duration::from_millis(500));
    wait::until("the pool is active", LIMIT, || {
        let pool = lab.get_json(&["addresspool", "lan"])?;
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        Ok(conditions.iter().any(ready).then_some(()))
    })
}

/// Waits until the controller tries a candidate. Until then the active policy decides anyway.
fn await_tried(controller: &Controller, component: &Path) -> Result<()> {
    let build = format!("{:.12}", digest(component)?);
    wait::until("the controller tries the candidate", LIMIT, || {
        let log = std::fs::read_to_string(controller.log())?;
        let tries = |line: &str| line.contains("trying a candidate") && line.contains(&build);
        Ok(log.lines().any(tries).then_some(()))
    })
}
