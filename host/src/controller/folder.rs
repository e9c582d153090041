//! The controller role over a folder: one of the nodes that share a state folder leads and writes Service status. The
//! node role reads the folder for both; it is asked to once this process leads, and knows every status that the
//! previous leader wrote.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::allocation::{AllocationResult, Allocations};
use outrigger_core::facts::{Change, Fact, FactKey, Service, ServiceKey};
use outrigger_kube::{Allocated, FolderLead, State};
use outrigger_net::now;
use tokio::sync::{Notify, mpsc};

use super::{Policies, Problems, tell};
use crate::plugins::Plugins;

/// Interval at which a status that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Dependencies of the controller role.
pub struct FolderController {
    /// Sends the request to follow to the node role, which reads the folder.
    pub reader: mpsc::UnboundedSender<ChangeSubscriber>,
    /// State folder, which holds the status of Services.
    pub state: Arc<State>,
    /// Plugins, including the allocators.
    pub plugins: Arc<Plugins>,
    /// Notified when another plugin becomes active.
    pub plugins_changed: Arc<Notify>,
    /// Receives problems of pools that are not applied as written, for the report.
    pub problems: Problems,
}

/// Sender to a controller that follows a folder.
pub struct ChangeSubscriber {
    news: mpsc::UnboundedSender<FolderUpdate>,
}

/// Changes in a folder.
struct FolderUpdate {
    changes: Vec<Change>,
    /// Result of [`outrigger_kube::Folder::complete`].
    complete: bool,
}

impl ChangeSubscriber {
    /// Sends changes. Returns false if the controller has ended.
    pub fn tell(&self, changes: Vec<Change>, complete: bool) -> bool {
        self.news.send(FolderUpdate { changes, complete }).is_ok()
    }
}

impl FolderController {
    /// Starts the role on a thread of its own. It ends with the process.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("controller".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(self.run()) {
                tracing::error!("this node no longer allocates addresses: {error:#}");
            }
        })?;
        Ok(())
    }

    async fn run(self) -> anyhow::Result<()> {
        let lead = self.state.lead()?;
        tracing::info!("this node allocates addresses");
        let (news, mut heard) = mpsc::unbounded_channel();
        // The node role ends with the process, and this role ends with it.
        let Ok(()) = self.reader.send(ChangeSubscriber { news }) else { return Ok(()) };
        let policies = Policies::start(self.plugins.clone())?;
        let mut allocations = Allocations::default();
        let Some(mut news) = heard.recv().await else { return Ok(()) };
        let mut unread = self.take_over(&lead, &news, &mut allocations)?;
        let mut listed = false;
        loop {
            for change in std::mem::take(&mut news.changes) {
                match &change {
                    Change::Synced => {
                        listed = true;
                        continue;
                    }
                    // The folder source has read the status of this Service.
                    Change::Upsert(Fact::Service(service)) => _ = unread.remove(&service.key),
                    _ => {}
                }
                self.apply(&lead, &mut allocations, change);
            }
            self.read_again(&mut unread, &mut allocations);
            if listed && unread.is_empty() {
                allocations.apply(&Change::Synced, now());
            }
            let more = policies.decide(&mut allocations).await;
            self.write(&lead, &mut allocations);
            *self.problems.lock().expect("nothing panics while it holds the problems") =
                allocations.problems();
            let retry = if more { Some(now().monotonic_us) } else { allocations.next_deadline() };
            let unread = async {
                match unread.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(READ_AGAIN).await,
                }
            };
            tokio::select! {
                next = heard.recv() => match next {
                    Some(next) => news = next,
                    None => return Ok(()),
                },
                () = self.plugins_changed.notified() => self.plugins_changed(&mut allocations),
                () = crate::deadline::at(retry) => {}
                () = unread => {}
            }
        }
    }

    /// Takes over the statuses that the previous leader wrote. If the whole folder was understood, Services that the
    /// manifests do not name are gone and their status is removed. Otherwise they may be in a part that was not
    /// understood, so they keep their addresses (invariant 2). Returns the Services whose status cannot be read: they
    /// may hold any address, so nothing is given out until it can be read (invariant 3).
    fn take_over(
        &self,
        lead: &FolderLead,
        news: &FolderUpdate,
        allocations: &mut Allocations,
    ) -> anyhow::Result<BTreeSet<ServiceKey>> {
        let named = news.changes.iter().filter_map(|change| match change {
            Change::Upsert(Fact::Service(service)) => Some(&service.key),
            _ => None,
        });
        let named: BTreeSet<&ServiceKey> = named.collect();
        let mut unread = BTreeSet::new();
        for (key, status) in self.state.services()? {
            match status {
                Err(problem) => {
                    tracing::error!(service = %key, "no address is allocated before this is fixed: {problem}");
                    unread.insert(key);
                }
                Ok(_) if named.contains(&key) => {}
                Ok(_) if news.complete => self.state.remove_service(lead, &key)?,
                Ok(status) => reserve(key, &status.addresses, allocations),
            }
        }
        Ok(unread)
    }

    /// Reads the statuses that could not be read again, for Services that the folder has not reported yet. Their
    /// addresses are reserved at once.
    fn read_again(&self, unread: &mut BTreeSet<ServiceKey>, allocations: &mut Allocations) {
        unread.retain(|key| match self.state.service(key) {
            Some(Err(_)) => true,
            Some(Ok(status)) => {
                reserve(key.clone(), &status.addresses, allocations);
                false
            }
            None => false,
        });
    }

    fn plugins_changed(&self, allocations: &mut Allocations) {
        for plugin in self.plugins.list() {
            allocations.plugin_changed(&plugin.name);
        }
    }

    fn apply(&self, lead: &FolderLead, allocations: &mut Allocations, change: Change) {
        if let Change::Remove(FactKey::Service(key)) = &change
            && let Err(error) = self.state.remove_service(lead, key)
        {
            tracing::warn!(service = %key, "its status could not be removed: {error}");
        }
        allocations.apply(&change, now());
    }

    fn write(&self, lead: &FolderLead, allocations: &mut Allocations) {
        for AllocationResult { service, addresses, condition, .. } in allocations.verdicts() {
            tell(&service, &addresses, &condition);
            let allocated = Allocated {
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
            };
            if let Err(error) =
                self.state.write_service(lead, &service, &addresses, &allocated, now())
            {
                tracing::error!(%service, "its status could not be written: {error}");
            }
        }
    }
}

/// Reserves the addresses of a Service of which nothing else is known, so that no other Service gets them.
fn reserve(key: ServiceKey, addresses: &[IpAddr], allocations: &mut Allocations) {
    let absent = Change::Upsert(Service::reserved(key, addresses).into());
    allocations.apply(&absent, now());
}
