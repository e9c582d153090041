//! Reports about the daemon itself: health, metrics and details on request, and the NodeReport.
use outrigger_core::facts::FactKey;
use outrigger_kube::Problem;
use outrigger_kube::crd::NodeReport;
use outrigger_net::now;

use super::Daemon;
use crate::http::Health;
use crate::metrics::Page;
use crate::report;

impl Daemon {
    fn report(&self) -> NodeReport {
        let missing = self.source.missing(self.node.cluster.synced);
        report::node_report(&self.node, &self.shared.plugins, self.problems(), missing)
    }

    pub(super) fn health(&self) -> Health {
        let status = self.report().status.unwrap_or_default();
        let mut page = Page::default();
        page.node(&status);
        page.frames(&self.responder.handle().counters());
        if let Some(standing) = &self.shared.controller {
            page.controller(&standing.borrow());
        }
        let peers = self.node.announcers.mailboxes().flat_map(|(announcer, mailbox)| {
            let peers = mailbox.lock().guard.reports().peers().cloned().collect::<Vec<_>>();
            peers.into_iter().map(|peer| (announcer.name.clone(), peer))
        });
        page.peers(peers.collect::<Vec<_>>());
        let metrics = self.node.announcers.mailboxes().flat_map(|(announcer, mailbox)| {
            let inner = mailbox.lock();
            let metrics = inner.guard.reports().metrics();
            let named =
                metrics.map(|(series, value)| (announcer.name.clone(), series.clone(), value));
            named.collect::<Vec<_>>()
        });
        page.plugins(metrics.collect());
        Health { missing: status.missing, metrics: page.text(), details: None }
    }

    pub(super) fn details(&self) -> report::Details<'_> {
        report::details(&self.node, &self.links.borrow(), &self.responder.handle())
    }

    /// Sends the report to the API server, and schedules a later write to the disk, which is read only while the API
    /// server is unavailable; over a folder writes to the disk at once.
    pub(super) fn write_report(&mut self) {
        self.report_due = None;
        self.reported_us = now().monotonic_us;
        match &self.sent {
            Some(sent) => {
                sent.report(self.report());
                self.memory.reported();
            }
            None => self.keep_report(),
        }
    }

    /// Writes the report to the disk, with the details of every address.
    pub(super) fn keep_report(&self) {
        let report = self.report();
        if let Err(error) = self.state.write_report(&self.node.name, &report) {
            tracing::error!("the NodeReport could not be written: {error}");
        }
        if let Err(error) = self.state.write_details(&self.node.name, &self.details()) {
            tracing::error!("the node's details could not be written: {error}");
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let pools = self
            .shared
            .pool_problems
            .lock()
            .expect("nothing panics while it holds the problems")
            .clone();
        let pools = pools.into_iter().map(|(name, message)| (FactKey::Pool(name), message));
        let announcers = self.node.announcers.problems();
        let announcers =
            announcers.map(|(name, message)| (FactKey::Announcer(name.clone()), message.clone()));
        let objects = self
            .shared
            .plugins
            .wrong(&self.node.cluster)
            .into_iter()
            .chain(pools)
            .chain(announcers);
        let objects =
            objects.map(|(key, message)| report::object_problem(&self.source, &key, message));
        self.source.problems().into_iter().chain(self.node.problems()).chain(objects).collect()
    }
}
