//! The announcer instances of this node: started, swapped and ended as Announcer objects and plugins come and go.
use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::facts::{self, NodeName};
use outrigger_core::plan::{InstanceChange, Planner};
use outrigger_net::{Links, Owner};
use outrigger_sdk::{Context, LinksChanged, Pair, Stopping};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::links;
use super::{EventDispatcher, Kernel, Probes, Proxy, Segments};
use crate::instance::{Instance, Ports};
use crate::mailbox::{InstanceCommand, Mailbox, Swap};
use crate::plugins::{InForce, Kind, Plugins};

/// All instances, by the name of their Announcer.
pub struct Announcers {
    node: NodeName,
    ports: Ports,
    dispatcher: Arc<EventDispatcher>,
    plugins: Arc<Plugins>,
    changed: Arc<Notify>,
    next_owner: Owner,
    running: BTreeMap<String, Running>,
    problems: BTreeMap<String, String>,
    /// Properties of this node that are passed to every plugin.
    about: Vec<Pair>,
    /// True if this daemon runs again after a restart.
    restarted: bool,
}

struct Running {
    announcer: Arc<facts::Announcer>,
    owner: Owner,
    instance: Instance,
}

impl Announcers {
    /// Creates an empty set of instances.
    pub fn new(
        node: NodeName,
        ports: Ports,
        dispatcher: Arc<EventDispatcher>,
        plugins: Arc<Plugins>,
        changed: Arc<Notify>,
    ) -> Self {
        Self {
            node,
            ports,
            dispatcher,
            plugins,
            changed,
            next_owner: 1,
            running: BTreeMap::new(),
            problems: BTreeMap::new(),
            about: Vec::new(),
            restarted: false,
        }
    }

    /// Starts to check whether the segments that instances announce on are alive.
    pub(super) fn segments(&self) -> Segments {
        let Self { ports, dispatcher, changed, .. } = self;
        Segments::start(ports.responder.clone(), dispatcher.heard.clone(), changed.clone())
    }

    /// Creates the prober that asks whether another host has an address.
    pub(super) fn probes(&self) -> Probes {
        let Ports { responder, groups, .. } = &self.ports;
        Probes::new(responder.clone(), groups.clone(), self.dispatcher.probed.clone())
    }

    /// Starts to check the kernel's settings.
    pub(super) fn kernel(&self) -> Kernel {
        Kernel::start(self.changed.clone())
    }

    /// Starts to query kube-proxy.
    pub(super) fn proxy(&self) -> Proxy {
        Proxy::start(self.changed.clone())
    }

    /// Sets whether instances that start from now on are informed that their peers may still know them.
    pub fn set_restarted(&mut self, restarted: bool) {
        self.restarted = restarted;
    }

    /// Sets the properties of this node that are passed to plugins. A change is a change of their configuration.
    pub(super) fn set_about(&mut self, about: Vec<Pair>) {
        if self.about == about {
            return;
        }
        self.about = about;
        for running in self.running.values() {
            if let Some(in_force) = self.plugins.get(&running.announcer.plugin.plugin) {
                running.instance.mailbox.command(swap(in_force, &running.announcer, &self.about));
            }
        }
    }

    /// Withdraws what plugins have not withdrawn in time. Returns the time of the next check.
    pub(super) fn withdraw_overdue(&self, now_us: u64) -> Option<u64> {
        let mailboxes = self.running.values().map(|running| &running.instance.mailbox);
        mailboxes.filter_map(|mailbox| mailbox.withdraw_overdue(now_us)).min()
    }

    /// Returns the names of the running instances.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.running.keys()
    }

    /// Returns each instance's Announcer and mailbox.
    pub fn mailboxes(&self) -> impl Iterator<Item = (&facts::Announcer, &Arc<Mailbox>)> {
        self.running.values().map(|running| (&*running.announcer, &running.instance.mailbox))
    }

    pub(super) fn desire(&self, change: InstanceChange) {
        if let Some(running) = self.running.get(&change.announcer) {
            running.instance.mailbox.desire(change.remove, &change.upsert);
        }
    }

    pub(super) fn links(&self, before: &Links, after: &Links) {
        for running in self.running.values() {
            if let Some(news) = links::changed(before, after, &running.announcer.interfaces) {
                running.instance.mailbox.link(news);
            }
        }
    }

    pub(super) fn stop(&self, stopping: Stopping) {
        for running in self.running.values() {
            running.instance.mailbox.stop(stopping);
        }
    }

    /// Returns true if every instance that can answer has reported that it is drained.
    pub(super) fn drained(&self) -> bool {
        self.running.values().all(|running| {
            let inner = running.instance.mailbox.lock();
            inner.standing.drained || inner.standing.phase != "Running"
        })
    }

    pub(super) fn end(&mut self) {
        for (_, running) in std::mem::take(&mut self.running) {
            self.dispatcher.remove(running.owner);
            running.instance.end();
        }
    }

    /// Returns true if the announcer's plugin runs here; `None` while that is not known yet.
    pub(super) fn runs(&self, announcer: &facts::Announcer) -> Option<bool> {
        match self.running.get(&announcer.name) {
            Some(running) => Some(running.instance.mailbox.lock().standing.phase != "Held"),
            None if self.plugins.awaited(&announcer.plugin.plugin) => None,
            None => Some(false),
        }
    }

    /// Returns the announcers that do not run, with the reason.
    pub fn problems(&self) -> impl Iterator<Item = (&String, &String)> {
        self.problems.iter()
    }

    pub(super) fn plugin_changed(&mut self, plugin: &str) {
        for running in self.running.values() {
            if running.announcer.plugin.plugin == plugin
                && let Some(in_force) = self.plugins.get(plugin)
            {
                running.instance.mailbox.command(swap(in_force, &running.announcer, &self.about));
            }
        }
    }

    pub(super) fn sync(
        &mut self,
        wanted: BTreeMap<String, Arc<facts::Announcer>>,
        links: &Links,
        planner: &Planner,
    ) {
        self.problems.clear();
        let gone: Vec<_> =
            self.running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        gone.into_iter().for_each(|name| self.remove(&name));
        for (name, announcer) in wanted {
            match self.running.get(&name) {
                Some(running) if running.announcer == announcer => {}
                Some(running) if running.announcer.interfaces != announcer.interfaces => {
                    // The instance is restarted, because everything it has active on other links must end.
                    self.remove(&name);
                    self.start(announcer, links, planner);
                }
                Some(_) => self.configure(announcer),
                None => self.start(announcer, links, planner),
            }
        }
    }

    fn start(&mut self, announcer: Arc<facts::Announcer>, links: &Links, planner: &Planner) {
        if self.plugins.awaited(&announcer.plugin.plugin) {
            return; // It begins with what is active, as soon as that is loaded.
        }
        // `Plugins::wrong` reports a problem with the name.
        let Ok(in_force) = self.plugins.need(Kind::Announcer, &announcer.plugin.plugin) else {
            return;
        };
        let name = announcer.name.clone();
        let owner = self.next_owner;
        self.next_owner += 1;
        let (responder, streams) = (self.ports.responder.clone(), self.ports.streams.clone());
        let mailbox = Mailbox::new(owner, responder, streams, self.changed.clone());
        mailbox.allow(announcer.grant.clone(), announcer.secrets.clone());
        let granted = links::granted(links, &announcer.interfaces);
        mailbox.link(LinksChanged { reset: true, upsert: granted, ..Default::default() });
        let desired: Vec<_> = planner.desired(&name).values().cloned().collect();
        mailbox.desire_only(&desired);
        let mut about = self.about.clone();
        if self.restarted {
            about.push(("restarting".to_owned(), "true".to_owned()));
        }
        mailbox.command(swap(in_force, &announcer, &about));
        let context = Context {
            instance: name.clone(),
            node: self.node.clone(),
            config: announcer.plugin.config.clone(),
            seed: seed(&self.node, &name),
            ext: about,
        };
        // The event dispatcher must know the mailbox before the thread starts: a connection may be refused within the call that
        // requests it, and that event must be routed.
        self.dispatcher.add(owner, mailbox.clone());
        match Instance::start(context, owner, mailbox, self.ports.clone()) {
            Ok(instance) => {
                self.running.insert(name, Running { announcer, owner, instance });
            }
            Err(error) => {
                self.dispatcher.remove(owner);
                let problem = format!("its thread could not be started: {error}");
                self.problems.insert(name, problem);
            }
        }
    }

    fn configure(&mut self, announcer: Arc<facts::Announcer>) {
        let Ok(in_force) = self.plugins.need(Kind::Announcer, &announcer.plugin.plugin) else {
            return;
        };
        if let Some(running) = self.running.get_mut(&announcer.name) {
            running.instance.mailbox.allow(announcer.grant.clone(), announcer.secrets.clone());
            if running.announcer.plugin != announcer.plugin {
                running.instance.mailbox.command(swap(in_force, &announcer, &self.about));
            }
            running.announcer = announcer;
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            // The mailbox withdraws everything before the plugin is notified.
            running.instance.mailbox.desire_only(&[]);
            running.instance.mailbox.withdraw_all(outrigger_net::now().monotonic_us);
            self.dispatcher.remove(running.owner);
            running.instance.end();
        }
    }
}

fn swap(in_force: InForce, announcer: &facts::Announcer, about: &[Pair]) -> InstanceCommand {
    InstanceCommand::Swap(Swap {
        factory: in_force.plugin,
        config: announcer.plugin.config.clone(),
        ext: about.to_vec(),
        on_trial: in_force.on_trial,
    })
}

/// Returns a seed that never changes for an instance on a node, so that the random numbers of a plugin can be replayed.
fn seed(node: &str, instance: &str) -> Vec<u8> {
    Sha256::new().chain_update(node).chain_update([0]).chain_update(instance).finalize().to_vec()
}
