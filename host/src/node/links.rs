//! The links that one announcer may use, and how they changed.
use outrigger_net::Links;
use outrigger_sdk::{Link, LinksChanged};

/// Returns all links of an announcer with these `interfaces` (empty = all).
pub fn granted(links: &Links, interfaces: &[String]) -> Vec<Link> {
    let named = |link: &&Link| interfaces.is_empty() || interfaces.contains(&link.name);
    links.values().filter(named).cloned().collect()
}

/// Returns the change from `before` to `after` for that announcer. `None` if nothing differs.
pub fn changed(before: &Links, after: &Links, interfaces: &[String]) -> Option<LinksChanged> {
    let (before, after) = (granted(before, interfaces), granted(after, interfaces));
    let gone = |link: &&Link| !after.iter().any(|other| other.index == link.index);
    let remove: Vec<_> = before.iter().filter(gone).map(|link| link.index).collect();
    let upsert: Vec<_> = after.iter().filter(|link| !before.contains(link)).cloned().collect();
    (!remove.is_empty() || !upsert.is_empty()).then_some(LinksChanged {
        reset: false,
        remove,
        upsert,
        more: false,
    })
}
