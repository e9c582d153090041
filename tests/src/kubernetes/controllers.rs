//! The product as processes beside an API server without nodes: controllers, and one that is also a node. They are stopped and
//! killed by their process ids.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Lab;
use crate::product;

/// Running controller. Killed when dropped.
#[derive(Debug)]
pub struct Controller {
    /// Name of the controller; its identity in the Lease begins with it.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// Starts `outrigger run --role controller` in the network of the control plane.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(lab: &Lab, name: &str) -> Result<Self> {
        Self::start_as(lab, name, "cp", "controller")
    }

    /// Starts `outrigger run` in the network of a member, in this role.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_as(lab: &Lab, name: &str, member: &str, role: &str) -> Result<Self> {
        let folder = lab.folder().join(name);
        fs::create_dir_all(&folder)?;
        let log = folder.join("log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command: Command =
            product::unconfigured(lab.namespace(member)?.command(product::binary()?));
        command.args(["run", "--role", role, "--node", name]);
        command.arg("--kubeconfig").arg(lab.kubeconfig());
        command.arg("--state").arg(folder.join("state")).arg("--cache").arg(folder.join("cache"));
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start controller {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill a controller")?;
        self.child.wait().map(drop).context("a killed controller does not end")
    }

    /// Returns the path of its log.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
