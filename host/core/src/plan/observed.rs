//! The last reports of the nodes about themselves, as far as they are available, and their details where these were
//! requested. Must not know where they were read.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::facts::NodeName;
use crate::membership::{Hearing, Member, View};

/// The last reports of every node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    /// Reports by node name; only nodes that have ever reported.
    pub nodes: BTreeMap<NodeName, NodeObservation>,
}

/// The last report of one node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeObservation {
    /// True if the node responds, or other nodes report that it does.
    pub alive: bool,
    /// True if the node has announced that it is leaving.
    pub leaving: bool,
    /// Names of the facts that the node has not listed yet; it announces nothing new until it has.
    pub missing: Vec<String>,
    /// The node's announcers by name.
    pub announcers: BTreeMap<String, AnnouncerObservation>,
    /// Problems that the node reports: object and message.
    pub problems: Vec<(String, String)>,
    /// Messages about addresses that are not in the intended state.
    pub exceptions: BTreeMap<IpAddr, String>,
    /// The node's details; `None` if they could not be read.
    pub details: Option<Details>,
    /// The reason why the details could not be read.
    pub silence: Unreachable,
}

/// The reason why a node's details could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreachable {
    /// The cause, "" if it is unknown.
    pub why: String,
    /// The change that makes the details readable.
    pub fix: String,
}

/// The state of one announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnouncerObservation {
    /// Name of the announcer's plugin.
    pub plugin: String,
    /// Origin of the plugin: "embedded", "ConfigMap ns/name" or a path; "" if it was never found.
    pub origin: String,
    /// "Running", "Held" after a failure that restarts did not fix, or "NotStarted".
    pub phase: String,
    /// The last failure, "" if there was none.
    pub last_fault: String,
}

/// Information that is too large for a report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// State by address, with one entry for each announcer of the address.
    pub addresses: BTreeMap<IpAddr, Vec<AddressObservation>>,
    /// The networks of each interface's addresses, by interface name.
    pub links: BTreeMap<String, BTreeSet<IpNet>>,
}

/// The state of one address with one announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressObservation {
    /// Name of the Announcer.
    pub announcer: String,
    /// True if this node is to answer.
    pub speaks: bool,
    /// The state in one word: "announced", "pending" or "failed".
    pub state: String,
    /// Names of the interfaces or peers used.
    pub via: Vec<String>,
    /// A message for the operator, "" if there is none.
    pub message: String,
    /// The start of the current state in readable form, "" if it is unknown.
    pub since: String,
}

impl Observations {
    /// Returns the view with the alive nodes, as a node would see them.
    pub(super) fn view(&self) -> View {
        let mut view = View::default();
        for (name, word) in self.nodes.iter().filter(|(_, word)| word.alive) {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            view.members.insert(
                name.clone(),
                Member { leaving: word.leaving, hearing: Hearing::Itself, address },
            );
        }
        view
    }
}

impl NodeObservation {
    /// Returns the report about an address, with one entry for each announcer.
    pub fn on(&self, address: IpAddr) -> &[AddressObservation] {
        let entries = self.details.as_ref().and_then(|details| details.addresses.get(&address));
        entries.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the entries of the announcers with which the node answers for an address now.
    pub fn answers(&self, address: IpAddr) -> impl Iterator<Item = &AddressObservation> {
        let answers = |word: &&AddressObservation| word.speaks && word.state == "announced";
        self.on(address).iter().filter(move |word| self.alive && answers(word))
    }
}
