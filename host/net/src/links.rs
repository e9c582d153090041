//! The node's layer-2 links from netlink: one dump, then notifications, never a poll. Does not know who uses them.
//!
//! Unknown is not empty: while netlink fails, the last list is kept.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use outrigger_sdk::{Link, LinkIndex};
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;

use table::Table;

mod table;

/// Every listed link by its index.
pub type Links = BTreeMap<LinkIndex, Link>;

/// Name patterns of interfaces that are never listed; a final `*` matches any ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excludes(Vec<String>);

/// The reason why the links are not known.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The netlink socket could not be opened.
    #[error("cannot open a netlink socket to list the links: {0}")]
    Socket(#[source] std::io::Error),
    /// The kernel refused a dump.
    #[error("the kernel did not list the {what}: {detail}")]
    Dump {
        /// "links" or "addresses".
        what: &'static str,
        /// The error of the kernel.
        detail: String,
    },
    /// The socket closed during a dump.
    #[error("the netlink socket closed before it listed all {what}")]
    Closed {
        /// "links" or "addresses".
        what: &'static str,
    },
}

/// First and longest delay before netlink is retried after a failure; the delay doubles from one to the other.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Largest number of queued notifications that are published together.
const CHUNK: usize = 256;

impl Excludes {
    /// Creates a list from names and `prefix*` patterns.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// Returns true if an interface of this name stays unlisted.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    }
}

impl Default for Excludes {
    /// Returns the interfaces that container runtimes and network plugins create: the list that MetalLB ships.
    fn default() -> Self {
        Self::new([
            "docker*",
            "cbr*",
            "dummy*",
            "virbr*",
            "lxcbr*",
            "veth*",
            "lo",
            "cali*",
            "tunl*",
            "flannel*",
            "kube-ipvs*",
            "cni*",
            "nodelocaldns*",
            "lxc*",
        ])
    }
}

/// Lists the links once and keeps publishing changes until every receiver is dropped.
///
/// # Errors
/// Returns an error if the first list cannot be obtained. Later failures keep the last list and are retried.
pub async fn watch(excludes: Excludes) -> Result<watch::Receiver<Arc<Links>>, LinkError> {
    let mut table = Table::default();
    let source = Source::open(&mut table).await?;
    let (sender, receiver) = watch::channel(Arc::new(table.links(&excludes)));
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = follow(source, table, &excludes, &sender) => {}
        }
    });
    Ok(receiver)
}

/// An open netlink socket whose dump is already in the table.
struct Source {
    notifications: futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Source {
    /// Subscribes first and dumps afterwards, so that no change is missed. Notifications from before the dump are
    /// applied after it; since every change is notified, the last state applied for each link is still the newest.
    async fn open(table: &mut Table) -> Result<Self, LinkError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (mut connection, mut handle, notifications) =
            rtnetlink::new_multicast_connection(&groups).map_err(LinkError::Socket)?;
        // Without the final message a dump that breaks off looks like a short one.
        connection.set_forward_done(true);
        let source = Self {
            notifications: notifications.map(|(message, _)| message).boxed(),
            connection: tokio::spawn(connection),
        };
        let mut links = LinkMessage::default();
        links.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let links = dump(&mut handle, "links", RouteNetlinkMessage::GetLink(links)).await?;
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let addresses = dump(&mut handle, "addresses", addresses).await?;
        table.replace(links.into_iter().chain(addresses));
        Ok(source)
    }
}

async fn dump(
    handle: &mut Handle,
    what: &'static str,
    request: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
    let mut request = NetlinkMessage::from(request);
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let refused = |detail: String| LinkError::Dump { what, detail };
    let mut answers = handle.request(request).map_err(|error| refused(error.to_string()))?;
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => all.push(message),
            NetlinkPayload::Done(_) => return Ok(all),
            NetlinkPayload::Error(error) => return Err(refused(error.to_string())),
            _ => {}
        }
    }
    Err(LinkError::Closed { what })
}

async fn follow(
    mut source: Source,
    mut table: Table,
    excludes: &Excludes,
    sender: &watch::Sender<Arc<Links>>,
) {
    loop {
        apply_until_lost(&mut source, &mut table, excludes, sender).await;
        source = reopen(&mut table).await;
        publish(&table, excludes, sender);
    }
}

/// Applies notifications and returns when some were lost: the socket overran (ENOBUFS) or closed.
async fn apply_until_lost(
    source: &mut Source,
    table: &mut Table,
    excludes: &Excludes,
    sender: &watch::Sender<Arc<Links>>,
) {
    let mut chunks = (&mut source.notifications).ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        for message in chunk {
            match message.payload {
                NetlinkPayload::InnerMessage(message) => table.apply(message),
                NetlinkPayload::Overrun(_) => {
                    return tracing::warn!(
                        "the netlink socket lost events; the links are listed again"
                    );
                }
                _ => {}
            }
        }
        publish(table, excludes, sender);
    }
    tracing::warn!("the netlink socket closed; it is opened again");
}

async fn reopen(table: &mut Table) -> Source {
    let mut pause = RETRY.0;
    loop {
        match Source::open(table).await {
            Ok(source) => return source,
            Err(error) => {
                tracing::warn!(%error, "cannot list the links; the last list stays active")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

fn publish(table: &Table, excludes: &Excludes, sender: &watch::Sender<Arc<Links>>) {
    let links = table.links(excludes);
    sender.send_if_modified(|current| {
        let changed = **current != links;
        if changed {
            *current = Arc::new(links);
        }
        changed
    });
}

#[cfg(test)]
mod tests;
