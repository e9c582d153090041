//! Events that made the plugin fault every time and are no longer delivered, so that one bad object stops only itself.
//! A list is split for that, because the full list is delivered again after every restart and would include the bad
//! entry.
use outrigger_sdk::{DesiredAddress, DesiredChanged, Event, Link, LinksChanged};

/// Entries of lists that are left out for as long as they do not change.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    desired: Vec<DesiredAddress>,
    links: Vec<Link>,
}

impl Quarantine {
    pub(super) fn is_empty(&self) -> bool {
        self.desired.is_empty() && self.links.is_empty()
    }

    /// Leaves out the entries of this event from now on. An event of another kind does not recur by itself.
    pub(super) fn add(&mut self, event: Event) {
        match event {
            Event::DesiredChanged(changed) => self.desired.extend(changed.upsert),
            Event::LinksChanged(changed) => self.links.extend(changed.upsert),
            _ => {}
        }
    }

    /// Returns the event without the quarantined entries.
    pub(super) fn strip(&self, mut event: Event) -> Event {
        match &mut event {
            Event::DesiredChanged(changed) if !self.desired.is_empty() => {
                changed.upsert.retain(|entry| !self.desired.contains(entry));
            }
            Event::LinksChanged(changed) if !self.links.is_empty() => {
                changed.upsert.retain(|entry| !self.links.contains(entry));
            }
            _ => {}
        }
        event
    }
}

/// Splits a list into chunks of one entry; its start and its end are separate chunks, so that they arrive even if an
/// entry is rejected. Other events are returned unchanged.
pub(super) fn pieces(event: Event) -> Vec<Event> {
    match event {
        Event::DesiredChanged(DesiredChanged { reset, remove, upsert, more })
            if !upsert.is_empty() =>
        {
            let chunk =
                |upsert, more| DesiredChanged { reset: false, remove: Vec::new(), upsert, more };
            let entries = upsert.into_iter().map(|entry| chunk(vec![entry], true));
            let begin = DesiredChanged { reset, remove, upsert: Vec::new(), more: true };
            let end = chunk(Vec::new(), more);
            std::iter::once(begin).chain(entries).chain([end]).map(Event::DesiredChanged).collect()
        }
        Event::LinksChanged(LinksChanged { reset, remove, upsert, more }) if !upsert.is_empty() => {
            let chunk =
                |upsert, more| LinksChanged { reset: false, remove: Vec::new(), upsert, more };
            let entries = upsert.into_iter().map(|entry| chunk(vec![entry], true));
            let begin = LinksChanged { reset, remove, upsert: Vec::new(), more: true };
            let end = chunk(Vec::new(), more);
            std::iter::once(begin).chain(entries).chain([end]).map(Event::LinksChanged).collect()
        }
        whole => vec![whole],
    }
}
