//! Reports of an instance about its peers, its conditions, its metrics and Services, kept within `budget`. Reports
//! about addresses are stored where the addresses are known.
use std::collections::BTreeMap;

use outrigger_sdk::report::MetricValue;
use outrigger_sdk::{AddressReport, Condition, Pair, PeerReport, Report, ServiceEvent, Time};

use super::Reason;
use super::budget::{
    CONDITIONS, LABELS, LIST, NAME, PEER_COUNTERS, PEERS, SAID_AGAIN_WITHIN_US, SERIES, TEXT,
};

mod events;

use events::Events;

/// A metric's name and its labels, sorted by label name.
pub type Series = (String, Vec<(String, String)>);

/// The reports that are currently stored.
#[derive(Debug, Default)]
pub struct Reports {
    peers: Levels<(String, String), PeerReport>,
    conditions: Levels<String, Condition>,
    metrics: Levels<Series, f64>,
    events: Events,
    /// Number of the instance that reports now; each instance has a different one.
    instance: u64,
    /// Time at which the reports of earlier instances are removed; `None` if there are none to remove.
    sweep_us: Option<u64>,
}

/// Values by subject, each with the number of the instance that reported it last.
#[derive(Debug)]
struct Levels<K, V>(BTreeMap<K, (u64, V)>);

impl<K, V> Default for Levels<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Levels<K, V> {
    fn has_room(&self, key: &K, most: usize) -> Result<(), Reason> {
        if self.0.len() < most || self.0.contains_key(key) {
            Ok(())
        } else {
            Err(Reason::TooMuchSaid)
        }
    }

    fn all(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, (_, value))| (key, value))
    }
}

impl Reports {
    /// Iterates over the peers, by protocol and name.
    pub fn peers(&self) -> impl Iterator<Item = &PeerReport> {
        self.peers.all().map(|(_, report)| report)
    }

    /// Iterates over the conditions, by type.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.all().map(|(_, condition)| condition)
    }

    /// Iterates over the metrics, by name and labels.
    pub fn metrics(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.metrics.all().map(|(series, value)| (series, *value))
    }

    /// Iterates over the stored events about Services, oldest first, each with the time of its report.
    pub fn events(&self) -> impl Iterator<Item = &(Time, ServiceEvent)> {
        self.events.all()
    }

    /// Returns the number of reported peers.
    pub fn peer_count(&self) -> usize {
        self.peers.0.len()
    }

    /// Checks that a report may be kept: its names are well formed, and there is room for it. Texts are shortened and
    /// made one line instead of refused, because a part of them comes from peers, which must not decide whether a
    /// report is kept. `is_told` returns true if the instance was sent the event's Service; it may be slow.
    ///
    /// # Errors
    /// Returns the reason if the report must not be kept.
    pub(super) fn admit(
        &mut self,
        now_us: u64,
        mut report: Report,
        is_told: impl FnOnce(&ServiceEvent) -> bool,
    ) -> Result<Report, Reason> {
        match &mut report {
            Report::Event(event) => self.events.admit(now_us, event, is_told)?,
            report => self.admit_level(report)?,
        }
        Ok(report)
    }

    fn admit_level(&self, report: &mut Report) -> Result<(), Reason> {
        match report {
            Report::Address(about) => address(about)?,
            Report::Peer(about) => {
                peer(about)?;
                self.peers.has_room(&(about.protocol.clone(), about.peer.clone()), PEERS)?;
            }
            Report::Condition(about) => {
                condition(about)?;
                self.conditions.has_room(&about.kind, CONDITIONS)?;
            }
            Report::Metric { name, labels, .. } => {
                if labels.len() > LABELS {
                    return Err(Reason::TooMuchSaid);
                }
                labels.iter_mut().for_each(|(_, value)| text(value));
                self.metrics.has_room(&series(name, labels)?, SERIES)?;
            }
            Report::Event(_) | Report::Other(_) => return Err(Reason::Unsupported),
        }
        Ok(())
    }

    /// Stores a report that was admitted; a report about an address is not stored here. A report that takes itself back
    /// is removed: a peer without a state, a condition without a reason, a metric set to a value that is not finite.
    ///
    /// # Errors
    /// Returns an error if there is no longer room for the report.
    pub(super) fn keep(&mut self, mut report: Report, now: Time) -> Result<(), Reason> {
        if let Report::Event(event) = report {
            return self.events.keep(event, now);
        }
        self.admit_level(&mut report)?;
        let by = self.instance;
        match report {
            Report::Peer(about) => {
                let key = (about.protocol.clone(), about.peer.clone());
                match about.state.is_empty() {
                    true => drop(self.peers.0.remove(&key)),
                    false => drop(self.peers.0.insert(key, (by, about))),
                }
            }
            Report::Condition(about) => match about.reason.is_empty() {
                true => drop(self.conditions.0.remove(&about.kind)),
                false => drop(self.conditions.0.insert(about.kind.clone(), (by, about))),
            },
            Report::Metric { name, labels, value } => {
                let key = series(&name, &labels)?;
                match value {
                    MetricValue::Set(now) if !now.is_finite() => drop(self.metrics.0.remove(&key)),
                    MetricValue::Set(now) => drop(self.metrics.0.insert(key, (by, now))),
                    MetricValue::Add(more) => {
                        let (last, level) = self.metrics.0.entry(key).or_insert((by, 0.0));
                        *last = by;
                        let sum = *level + more;
                        if sum.is_finite() {
                            *level = sum;
                        }
                    }
                }
            }
            Report::Address(_) | Report::Event(_) | Report::Other(_) => {}
        }
        Ok(())
    }

    /// Starts a new instance. It has ten seconds to repeat the reports that still apply.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.instance += 1;
        self.sweep_us = Some(now_us + SAID_AGAIN_WITHIN_US);
    }

    /// Removes reports that only earlier instances made, and events, once they have expired. Returns the time of the
    /// next expiry; `None` if nothing is left to expire.
    pub(super) fn sweep(&mut self, now_us: u64) -> Option<u64> {
        [self.sweep_levels(now_us), self.events.sweep(now_us)].into_iter().flatten().min()
    }

    fn sweep_levels(&mut self, now_us: u64) -> Option<u64> {
        let due = self.sweep_us?;
        if now_us < due {
            return Some(due);
        }
        self.sweep_us = None;
        let by = self.instance;
        self.peers.0.retain(|_, (last, _)| *last == by);
        self.conditions.0.retain(|_, (last, _)| *last == by);
        self.metrics.0.retain(|_, (last, _)| *last == by);
        None
    }
}

fn series(name: &str, labels: &[Pair]) -> Result<Series, Reason> {
    metric_name(name)?;
    let mut sorted = Vec::with_capacity(labels.len());
    for (key, value) in labels {
        metric_name(key)?;
        sorted.push((key.clone(), value.clone()));
    }
    sorted.sort_unstable();
    let is_twice = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0);
    // These labels are reserved for the host.
    let is_ours = sorted.iter().any(|(key, _)| ["announcer", "plugin", "node"].contains(&&**key));
    if is_twice || is_ours { Err(Reason::NotWellFormed) } else { Ok((name.to_owned(), sorted)) }
}

/// Accepts names for metrics and labels that are valid in every system that reads them.
fn metric_name(name: &str) -> Result<(), Reason> {
    let is_word = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    match begins && name.len() <= NAME && name.bytes().all(is_word) {
        true => Ok(()),
        false => Err(Reason::NotWellFormed),
    }
}

fn address(AddressReport { via, reason, message, .. }: &mut AddressReport) -> Result<(), Reason> {
    list(via.len())?;
    via.iter_mut().for_each(text);
    text(message);
    short(reason)
}

fn peer(about: &mut PeerReport) -> Result<(), Reason> {
    let PeerReport { peer, protocol, state, last_error, counters, ext, .. } = about;
    if counters.len() > PEER_COUNTERS {
        return Err(Reason::TooMuchSaid);
    }
    if peer.is_empty() || peer.len() > TEXT {
        return Err(Reason::NotWellFormed);
    }
    line(peer)?;
    name(protocol)?;
    short(state)?;
    counters.iter().try_for_each(|(counter, _)| name(counter))?;
    list(ext.len())?;
    text(last_error);
    for (key, value) in ext {
        text(key);
        text(value);
    }
    Ok(())
}

fn condition(Condition { kind, reason, message, .. }: &mut Condition) -> Result<(), Reason> {
    text(message);
    // This type is reserved for the host.
    if kind == "Ready" {
        return Err(Reason::NotWellFormed);
    }
    camel_case(kind)?;
    if reason.is_empty() { Ok(()) } else { camel_case(reason) }
}

/// Accepts names that the API server allows as a condition type and as any kind of reason.
fn camel_case(word: &str) -> Result<(), Reason> {
    let begins = word.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
    match begins && word.len() <= NAME && word.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(Reason::NotWellFormed),
    }
}

fn list(entries: usize) -> Result<(), Reason> {
    if entries <= LIST { Ok(()) } else { Err(Reason::NotWellFormed) }
}

/// Accepts a name that is not empty.
fn name(name: &str) -> Result<(), Reason> {
    if name.is_empty() { Err(Reason::NotWellFormed) } else { short(name) }
}

fn short(name: &str) -> Result<(), Reason> {
    if name.len() <= NAME { line(name) } else { Err(Reason::NotWellFormed) }
}

/// Accepts text without control characters, so that it can be printed, logged and exported.
fn line(text: &str) -> Result<(), Reason> {
    if text.chars().any(char::is_control) { Err(Reason::NotWellFormed) } else { Ok(()) }
}

/// Shortens a text to [`TEXT`] bytes at a character boundary, and makes it one line.
fn text(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT));
    if text.chars().any(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
}

#[cfg(test)]
mod tests;
