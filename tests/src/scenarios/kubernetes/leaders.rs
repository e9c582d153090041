//! Leader election: there is one leader at a time.
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{LIMIT, SYSTEM, Stage, name_of, pods_of};
use crate::kubernetes::Lab;
use crate::kubernetes::process::Identity;
use crate::wait;

/// Service account of the controllers.
pub const ACCOUNT: &str = "outrigger-controller";
/// Time for which the old leader is watched after it resumes: it would write in its first moments.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Freezes the leader until another one leads and has served a Service, then resumes it, and checks that it writes nothing.
///
/// # Errors
/// When it writes, or no other controller leads.
pub fn two_at_once(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "two-leaders", 170)?;
    let before = stage.service("before", &json!({}))?;
    let old = leader(lab)?;
    let process = process_of(lab, &old)?;
    kill(process, Signal::SIGSTOP).context("cannot freeze the leader")?;
    let served = await_another(lab, &old).and_then(|_| {
        // The old leader's last state: this Service changes while it is frozen.
        lab.kubectl(&["label", "service", "before", "changed=yes", "--namespace", stage.name])?;
        stage.service("meanwhile", &json!({}))
    });
    let mark = lab.audit_mark()?;
    let thawed = kill(process, Signal::SIGCONT).context("the frozen leader is gone");
    let meanwhile = served?;
    thawed?;
    std::thread::sleep(AFTERWARDS);
    let written: Vec<_> = lab
        .audit(mark)?
        .into_iter()
        .filter(|request| request.pod == old && request.writes() && request.code < 300)
        .collect();
    ensure!(written.is_empty(), "the old leader, {old}, wrote {written:?}");
    stage.keeps("before", &before)?;
    stage.keeps("meanwhile", &meanwhile)
}

/// Returns the pod that holds the Lease.
///
/// # Errors
/// When no pod holds it in time.
pub fn leader(lab: &Lab) -> Result<String> {
    wait::until("a controller holds the Lease", LIMIT, || {
        let Ok(lease) = lab.get_json(&["lease", ACCOUNT, "--namespace", SYSTEM]) else {
            return Ok(None);
        };
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let pods = pods_of(lab, ACCOUNT)?;
        // The identity is made of the pod's name, and may contain more.
        let pod = pods.iter().map(name_of).find(|pod| holder.contains(pod));
        Ok(pod.map(str::to_owned))
    })
}

/// Waits until another pod than `old` holds the Lease, and returns it.
///
/// # Errors
/// When no other pod holds it in time.
pub fn await_another(lab: &Lab, old: &str) -> Result<String> {
    wait::until(&format!("a pod other than {old} is the leader"), LIMIT, || {
        let new = leader(lab)?;
        Ok((new != old).then_some(new))
    })
}

/// Returns the process of a pod's container, by its cgroup: the first of them, because a daemon starts compilers there.
///
/// # Errors
/// When it does not run on this machine.
pub fn process_of(lab: &Lab, pod: &str) -> Result<Pid> {
    let object = lab.get_json(&["pod", pod, "--namespace", SYSTEM])?;
    let container = object["status"]["containerStatuses"][0]["containerID"].as_str();
    let container =
        container.and_then(|id| id.rsplit('/').next()).context("the pod has no container")?;
    let mut first: Option<Identity> = None;
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if !cgroups.contains(container) {
            continue;
        }
        let Some(process) = Identity::of(pid) else { continue };
        // Not by process id, which wraps around.
        if first.is_none_or(|first| process.started < first.started) {
            first = Some(process);
        }
    }
    let first = first.with_context(|| format!("pod {pod} has no process here"))?;
    Ok(Pid::from_raw(i32::try_from(first.pid)?))
}
