//! Keeps every processor from going to sleep. A virtual machine that halts takes milliseconds to be woken, at each of the dozen
//! hand-overs between the programs that a Service passes through: then the machine is measured, and not they.
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// While it lives, no processor sleeps. It takes time from nobody: SCHED_IDLE of sched(7) runs when nothing else wants to.
pub struct Awake(Vec<Child>);

impl Awake {
    /// One loop for each processor. They end with this program, however it ends.
    pub fn start() -> Result<Self> {
        let processors = std::thread::available_parallelism().context("how many processors?")?;
        let mut loops = Self(Vec::new());
        for _ in 0..processors.get() {
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "chrt", "--idle", "0"])
                .args(["sh", "-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .context("cannot run setpriv and chrt, which are in util-linux")?;
            loops.0.push(child);
        }
        Ok(loops)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It fails only for one that ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
