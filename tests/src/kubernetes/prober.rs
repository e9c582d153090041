//! Requests a page from a web server with a new connection each time, at a fixed rate, as many clients would, and records which
//! requests were answered, by which server and when. It knows only addresses, not what is behind them.
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::namespace::Namespace;
use crate::{clock, http, wait};

/// Interval between two connections.
pub const INTERVAL: Duration = Duration::from_millis(20);
/// Time after which a connection without an answer is lost. A lost SYN is retransmitted only after 1 s (RFC 6298, section 2.1),
/// so no loss is hidden by a second try.
const PATIENCE: Duration = Duration::from_millis(900);
/// Longest time between losses that are reported as one.
const TOGETHER: Duration = Duration::from_secs(1);
/// Number of connections that may be cut while an address moves: one for each of the six moves of the longest scenario. Nodes
/// do not share their connection tracking, so a connection that is open at that moment is reset by the node that does not know
/// it, as with every layer 2 balancer. A client that retries at once must be answered.
const MOST_CUT: usize = 6;
/// Number of consecutive answers that count as a settled state: half a second.
const SETTLED: usize = 25;

/// Running prober.
#[derive(Debug)]
pub struct Prober {
    target: SocketAddr,
    seen: Arc<Mutex<Probe>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Requests and their outcomes.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    requests: Vec<Request>,
}

#[derive(Debug, Clone)]
struct Request {
    at: Instant,
    /// `None` while the request is pending; an error if it failed.
    outcome: Option<Result<String, String>>,
    /// True if the connection was reset; the outcome is then that of an immediate retry.
    cut: bool,
}

impl Prober {
    /// Starts to send requests from a network every [`INTERVAL`].
    pub fn start(from: &Namespace, target: SocketAddr) -> Self {
        let (seen, stop): (Arc<Mutex<Probe>>, Arc<AtomicBool>) = Default::default();
        let thread = {
            let (from, seen, stop) = (from.clone(), Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                from.inside(|| {
                    ask(target, &seen, &stop);
                    Ok(())
                })
            })
        };
        Self { target, seen, stop, thread: Some(thread) }
    }

    /// Returns everything recorded so far.
    pub fn so_far(&self) -> Probe {
        lock(&self.seen).clone()
    }

    /// Waits until `SETTLED` requests in a row, sent from now on, have been answered.
    ///
    /// # Errors
    /// When that does not happen in `limit`.
    pub fn settled(&self, limit: Duration) -> Result<()> {
        let start = self.so_far().requests.len();
        wait::until(&format!("{} answers every request", self.target), limit, || {
            let answered = |request: &Request| request.outcome.as_ref().is_some_and(Result::is_ok);
            let requests = self.so_far().requests;
            let fresh = &requests[start..];
            // Pending requests at the end are left out.
            let ended = fresh.iter().rposition(|request| request.outcome.is_some());
            let ended = &fresh[..ended.map_or(0, |last| last + 1)];
            let settled = ended.len() >= SETTLED && ended.iter().rev().take(SETTLED).all(answered);
            if !settled {
                std::thread::sleep(INTERVAL);
            }
            Ok(settled.then_some(()))
        })
        .with_context(|| self.so_far().summary())
    }

    /// Stops sending, waits for the last answers, and returns everything recorded.
    ///
    /// # Errors
    /// When it could not send at all.
    pub fn finish(mut self) -> Result<Probe> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(self.so_far())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Probe {
    /// Returns the number of attempted connections.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Drops the first `skip` requests.
    #[must_use]
    pub fn from(mut self, skip: usize) -> Self {
        self.requests.drain(..skip.min(self.requests.len()));
        self
    }

    /// Drops the pending requests at the end.
    #[must_use]
    pub fn settled_part(mut self) -> Self {
        let ended = self.requests.iter().position(|request| request.outcome.is_none());
        self.requests.truncate(ended.unwrap_or(self.requests.len()));
        self
    }

    /// Returns the number of requests that had no answer in time.
    pub fn lost(&self) -> usize {
        self.requests.len() - self.answers().count()
    }

    /// Returns the number of connections that were reset, even if an immediate retry was answered.
    pub fn cut(&self) -> usize {
        self.requests.iter().filter(|request| request.cut).count()
    }

    /// Returns the number of answers by their text.
    pub fn by_text(&self) -> BTreeMap<&str, usize> {
        let mut count = BTreeMap::new();
        for (_, text) in self.answers() {
            *count.entry(text).or_default() += 1;
        }
        count
    }

    /// Returns the longest time between two answered requests with none answered between them; the time before the first one
    /// and since the last one counts too.
    pub fn longest_gap(&self) -> Duration {
        let ends = |request: Option<&Request>| request.map(|request| request.at);
        let mut times: Vec<_> = ends(self.requests.first()).into_iter().collect();
        times.extend(self.answers().map(|(at, _)| at));
        times.extend(ends(self.requests.last()));
        times
            .windows(2)
            .map(|pair| pair[1].saturating_duration_since(pair[0]))
            .max()
            .unwrap_or_default()
    }

    /// Fails unless every request was answered, and hardly any at the second attempt.
    ///
    /// # Errors
    /// When one was not, with the time and the reason.
    pub fn nothing_lost(&self) -> Result<()> {
        ensure!(self.requests() > 0, "no request was sent");
        ensure!(self.lost() == 0 && self.cut() <= MOST_CUT, "{}", self.summary());
        Ok(())
    }

    /// Summarizes the requests as text, with losses in quick succession on one line.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} of {} connections lost, {} interrupted, longest gap {:.0} ms, answers {:?}",
            self.lost(),
            self.requests(),
            self.cut(),
            clock::ms(self.longest_gap()),
            self.by_text(),
        );
        let mut losses = self.losses().peekable();
        while let Some((from, why)) = losses.next() {
            let (mut to, mut count) = (from, 1);
            while let Some((next, _)) = losses.next_if(|(next, _)| *next - to < TOGETHER) {
                (to, count) = (next, count + 1);
            }
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            text += &format!("\n  {count} from {from:.3} s to {to:.3} s: {why}");
        }
        text
    }

    /// Returns the time at which each lost request was sent.
    pub fn lost_at(&self) -> impl Iterator<Item = Instant> {
        let is_lost = |request: &&Request| !matches!(request.outcome, Some(Ok(_)));
        self.requests.iter().filter(is_lost).map(|request| request.at)
    }

    /// Returns the time at which each lost request was sent, relative to the first request, and the reason.
    fn losses(&self) -> impl Iterator<Item = (Duration, &str)> {
        let start = self.requests.first().map(|request| request.at);
        self.requests.iter().filter_map(move |request| {
            let why = match &request.outcome {
                None => "no answer yet",
                Some(Err(why)) => why,
                Some(Ok(_)) => return None,
            };
            Some((request.at.duration_since(start?), why))
        })
    }

    /// Returns the time at which each answered request was sent, and its answer.
    fn answers(&self) -> impl Iterator<Item = (Instant, &str)> {
        self.requests
            .iter()
            .filter_map(|request| Some((request.at, request.outcome.as_ref()?.as_deref().ok()?)))
    }
}

/// Sends each request on a thread of its own, so that a slow one does not delay the next. The threads end before this function
/// does.
fn ask(target: SocketAddr, seen: &Mutex<Probe>, stop: &AtomicBool) {
    let start = clock::now();
    std::thread::scope(|scope| {
        for number in 0_u32.. {
            let due = start + INTERVAL * number;
            std::thread::sleep(due.saturating_duration_since(clock::now()));
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let index = {
                let mut probe = lock(seen);
                probe.requests.push(Request { at: clock::now(), outcome: None, cut: false });
                probe.requests.len() - 1
            };
            scope.spawn(move || {
                let mut answer = http::get(target, PATIENCE);
                let cut = answer.as_ref().is_err_and(was_reset);
                if cut {
                    answer = http::get(target, PATIENCE);
                }
                let request = &mut lock(seen).requests[index];
                request.cut = cut;
                request.outcome = Some(answer.map_err(|error| format!("{error:#}")));
            });
        }
    });
}

fn was_reset(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionReset)
}

fn lock(seen: &Mutex<Probe>) -> MutexGuard<'_, Probe> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
