//! The thread that enforces the deadlines of running guests. It sleeps while no guest runs, so that an idle daemon
//! causes no wake-ups. Knows nothing of what guests do.
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Interval of the checks on a running guest: deadlines are accurate to one interval.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The ticks of one engine. They end when the last holder that may run a guest is dropped.
pub(crate) struct Deadlines {
    /// Number of guests that are running.
    running: AtomicUsize,
    thread: OnceLock<Thread>,
}

/// A running guest, for as long as this is held.
#[must_use = "a guest that runs without it is not kept to its deadline"]
pub(crate) struct Running(Arc<Deadlines>);

impl Deadlines {
    /// Starts the thread. A plain thread and not a task: a starved runtime must not stop its own watchdog.
    pub fn keep(engine: &Engine) -> io::Result<Arc<Self>> {
        let deadlines = Arc::new(Self { running: AtomicUsize::new(0), thread: OnceLock::new() });
        let (engine, ours) = (engine.weak(), Arc::downgrade(&deadlines));
        let builder = thread::Builder::new().name("plugin-deadlines".into());
        let ticks = builder.spawn(move || tick(&engine, &ours))?;
        deadlines.thread.get_or_init(|| ticks.thread().clone());
        Ok(deadlines)
    }

    pub fn running(self: &Arc<Self>) -> Running {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.wake();
        }
        Running(Arc::clone(self))
    }

    /// Wakes the thread. Costs a system call only when the thread sleeps because no guest runs.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, deadlines: &Weak<Deadlines>) {
    while let Some(running) = deadlines.upgrade().map(|it| it.running.load(Ordering::SeqCst)) {
        if running == 0 {
            // A guest that has started since then has already unparked this thread, so park returns at once.
            thread::park();
            continue;
        }
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_keeps_neither_the_engine_nor_itself_alive() {
        let engine = Engine::default();
        let weak = engine.weak();
        let deadlines = Deadlines::keep(&engine).expect("a thread");
        drop(deadlines.running());
        let gone = Arc::downgrade(&deadlines);
        drop((engine, deadlines));
        // The thread holds each of them for the length of one check at most.
        while weak.upgrade().is_some() || gone.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
