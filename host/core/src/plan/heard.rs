//! What the nodes said of themselves last, as far as it can be had: from their reports, and from their details where somebody
//! asked for these. Knows nothing of where it was read.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::facts::NodeName;
use crate::membership::{Hearing, Member, View};

/// What every node said last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// By name; only those that ever said something.
    pub nodes: BTreeMap<NodeName, NodeWord>,
}

/// What one node said last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeWord {
    /// It answers, or others say that it does.
    pub alive: bool,
    /// It has said that it goes.
    pub leaving: bool,
    /// What it has not listed yet; it announces nothing new until it has.
    pub missing: Vec<String>,
    /// Its announcers.
    pub announcers: BTreeMap<String, AnnouncerWord>,
    /// What it says is wrong: object and message.
    pub problems: Vec<(String, String)>,
    /// Addresses that are not as they should be.
    pub exceptions: BTreeMap<IpAddr, String>,
    /// `None`: it could not be asked.
    pub details: Option<Details>,
    /// Why it could not.
    pub silence: Silence,
}

/// Why a node could not be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Silence {
    /// What was in the way, "" when nobody knows.
    pub why: String,
    /// What to change so that it can be asked.
    pub fix: String,
}

/// One announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnouncerWord {
    /// Its plugin.
    pub plugin: String,
    /// Where the plugin came from: "embedded", "ConfigMap ns/name" or a path; "" when it never was there.
    pub origin: String,
    /// "Running", "Held" after a failure that restarts did not mend, "NotStarted".
    pub phase: String,
    /// "" when there was none.
    pub last_fault: String,
}

/// What is too much for a report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// By address; one entry for each announcer that has to do with it.
    pub addresses: BTreeMap<IpAddr, Vec<AddressWord>>,
    /// The networks that each interface has an address of.
    pub links: BTreeMap<String, BTreeSet<IpNet>>,
}

/// How one address stands with one announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressWord {
    /// Name of the Announcer.
    pub announcer: String,
    /// This node is to answer.
    pub speaks: bool,
    /// One word: "announced", "pending", "failed".
    pub state: String,
    /// Interfaces or peers.
    pub via: Vec<String>,
    /// For a person, "" when nothing is to be said.
    pub message: String,
    /// Since when the state is what it is, for a person; "" when nobody knows.
    pub since: String,
}

impl Heard {
    /// Who is alive, as a node would see it.
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

impl NodeWord {
    /// What it says of an address, an entry for each announcer.
    pub fn on(&self, address: IpAddr) -> &[AddressWord] {
        let entries = self.details.as_ref().and_then(|details| details.addresses.get(&address));
        entries.map(Vec::as_slice).unwrap_or_default()
    }

    /// The announcers through which it answers for an address now.
    pub fn answers(&self, address: IpAddr) -> impl Iterator<Item = &AddressWord> {
        let answers = |word: &&AddressWord| word.speaks && word.state == "announced";
        self.on(address).iter().filter(move |word| self.alive && answers(word))
    }
}
