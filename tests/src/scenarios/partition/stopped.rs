//! A process, or its main loop alone, stands still and goes on.
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};

use super::*;

/// The process of a node that holds addresses stands still and goes on: half a second after it stood still nobody else's request has two
/// answers, also when what waited for it is read, and a second after it goes on every request has one.
///
/// # Errors
/// When two answer one request, nobody does, or an address of another node moves.
pub fn stood_still(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    for milliseconds in [150, 1_000, 5_000] {
        undisturbed(|| stage.stood_still(milliseconds, story))?;
    }
    Ok(())
}

/// Only the main loop of a node that holds addresses stands still, as it would while a disk hangs: nothing moves, and every request has one
/// answer, since neither membership nor the responder waits for it.
///
/// # Errors
/// When an address moves, or a request has no answer or two.
pub fn blocked(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let seconds = if std::env::var_os("OUTRIGGER_SOAK").is_some() { 30 } else { 5 };
    undisturbed(|| stage.blocked(Duration::from_secs(seconds), story))
}

/// How long it may take until the others have noticed, and until all agree again.
const NOTICED: Duration = Duration::from_millis(500);
const AGREED: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// One round; false when the others lost each other.
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
            "n{} stood still for {milliseconds} ms: {moved} addresses moved",
            victim + 1
        ));
        kept(&before, &after, victim)?;
        for (address, prober) in &self.probers {
            let seen = prober.so_far();
            let several = seen.answered_by_several(stopped + NOTICED);
            ensure!(
                several == 0,
                "{address}, {milliseconds} ms: {several} requests were answered by two"
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

    /// One round; false when the others lost each other.
    fn blocked(&self, time: Duration, story: &Story) -> Result<bool> {
        let (cluster, before) = (self.cluster, self.holders()?);
        let victim = *before.values().next().context("no address")?;
        let losses = self.losses(victim)?;
        // The main thread of the process; a tracer stops it without the others.
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
        story.say(format!("the main loop of n{} stood still for {time:?}", victim + 1));
        ensure!(during == before && after == before, "{before:?}, then {during:?}, {after:?}");
        for (address, prober) in &self.probers {
            let seen = prober.so_far();
            let several = seen.answered_by_several(blocked);
            let missed = seen.missed(blocked);
            ensure!(
                several == 0 && missed == 0,
                "{address}: {several} requests were answered by two, {missed} by nobody"
            );
            cluster.get((*address).into())?;
        }
        Ok(true)
    }
}
