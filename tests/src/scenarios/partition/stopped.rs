//! A process, or only its main loop, is stopped and continues.
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};

use super::*;

/// Stops the process of a node that holds addresses and continues it. Checks that no request has two answers from half a second
/// after the stop, including when the process reads its queued packets, and that every request has one answer from a second
/// after it continues.
///
/// # Errors
/// When two nodes or none answer a request, or an address of another node moves.
pub fn stood_still(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let long = std::env::var_os("OUTRIGGER_SOAK").map(|_| 30_000);
    for milliseconds in [150, 1_000, 5_000].into_iter().chain(long) {
        undisturbed(|| stage.stood_still(milliseconds, story))?;
    }
    Ok(())
}

/// Stops only the main loop of a node that holds addresses, as a hanging disk would. Checks that no address moves and that every
/// request has one answer, because neither membership nor the responder waits for the main loop.
///
/// # Errors
/// When an address moves, or a request has no answer or two answers.
pub fn blocked(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let seconds = if std::env::var_os("OUTRIGGER_SOAK").is_some() { 30 } else { 5 };
    undisturbed(|| stage.blocked(Duration::from_secs(seconds), story))
}

/// Time limit for the other nodes to detect the failure.
const NOTICED: Duration = Duration::from_millis(500);
/// Time limit for all nodes to agree again.
const AGREED: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// Runs one round. Returns false if the other nodes lost each other.
    fn stood_still(&self, milliseconds: u64, story: &Story) -> Result<bool> {
        let (cluster, before) = (self.cluster, self.holders()?);
        let victim = *before.values().next().context("no address")?;
        let losses = self.losses(victim)?;
        for address in before.keys() {
            cluster.get((*address).into())?;
        }
        let process = cluster.daemon(victim)?;
        let stopped = clock::now();
        process.signal(Signal::SIGSTOP)?;
        std::thread::sleep(Duration::from_millis(milliseconds));
        let goes_on = clock::now();
        process.signal(Signal::SIGCONT)?;
        std::thread::sleep(SOON);
        let after = self.holders()?;
        cluster.await_members()?;
        if self.losses(victim)? != losses {
            return Ok(false);
        }
        let moved = before.iter().filter(|(address, holder)| after[*address] != **holder).count();
        story.say(format!(
            "n{} was stopped for {milliseconds} ms: {moved} addresses moved",
            victim + 1
        ));
        kept(&before, &after, victim)?;
        for (address, prober) in &self.probers {
            let seen = prober.so_far();
            let several = seen.answered_by_several(stopped + NOTICED);
            ensure!(
                several == 0,
                "{address}, {milliseconds} ms: {several} requests were answered by two nodes"
            );
            let missed = seen.missed(goes_on + AGREED);
            ensure!(
                missed == 0,
                "{address}, {milliseconds} ms: {missed} requests were not answered"
            );
            cluster.get((*address).into())?;
        }
        Ok(true)
    }

    /// Runs one round. Returns false if the other nodes lost each other.
    fn blocked(&self, time: Duration, story: &Story) -> Result<bool> {
        let (cluster, before) = (self.cluster, self.holders()?);
        let victim = *before.values().next().context("no address")?;
        let losses = self.losses(victim)?;
        // The main thread of the process; a tracer stops it without the other threads.
        let main = cluster.daemon(victim)?.pid()?;
        ptrace::seize(main, ptrace::Options::empty()).context("the daemon cannot be traced")?;
        ptrace::interrupt(main)?;
        waitpid(main, Some(WaitPidFlag::__WALL))?;
        let blocked = clock::now();
        std::thread::sleep(time);
        let during = self.holders();
        ptrace::detach(main, None)?;
        let during = during?;
        std::thread::sleep(SOON);
        let after = self.holders()?;
        cluster.await_members()?;
        if self.losses(victim)? != losses {
            return Ok(false);
        }
        story.say(format!("the main loop of n{} was stopped for {time:?}", victim + 1));
        ensure!(during == before && after == before, "{before:?}, then {during:?}, {after:?}");
        for (address, prober) in &self.probers {
            let seen = prober.so_far();
            let several = seen.answered_by_several(blocked);
            let missed = seen.missed(blocked);
            ensure!(
                several == 0 && missed == 0,
                "{address}: {several} requests were answered by two nodes, {missed} by none"
            );
            cluster.get((*address).into())?;
        }
        Ok(true)
    }
}
