//! Immutable copies of deliveries: made before a build is published, made again if a needed one is deleted, and deleted
//! when no longer needed. Must not know which build is to run when.
use std::collections::BTreeSet;

use outrigger_core::facts::Build;
use outrigger_core::rollout::{Offer, Record};
use outrigger_kube::api::WriteError;
use outrigger_kube::convert::copy_name;

use super::{Arrived, One, Rollouts};

impl Rollouts {
    /// Marks a deleted copy as missing, so that it is made again if it is needed; a sweep deletes only copies that are
    /// not.
    pub(super) fn copy_gone(&mut self, copy: &str) {
        for arrived in self.deliveries.values_mut() {
            if let Ok((digest, _)) = &arrived.checked {
                arrived.copied &= copy_name(&arrived.delivery.name, digest) != copy;
            }
        }
    }

    /// Returns the build that a ConfigMap delivers, once its copy exists, or reason and message of the problem.
    pub(super) async fn usable(
        &mut self,
        name: &str,
        map: &str,
        one: &mut One,
    ) -> Result<Result<Offer, (String, String)>, WriteError> {
        let Some(arrived) = self.deliveries.get_mut(map) else { return Ok(Ok(Offer::Keep)) };
        let (digest, world) = match &arrived.checked {
            Ok(found) => found.clone(),
            Err(verdict) => {
                let message = format!("ConfigMap {map} was refused: {}", verdict.message);
                return Ok(Err((verdict.reason.to_owned(), message)));
            }
        };
        let record = one.rollout.record();
        if record.active.is_some() && !one.world.is_empty() && one.world != world {
            let message = format!(
                "ConfigMap {map} was refused: it is an {world}, but the active plugin {name:?} is an {}: deliver it under another name",
                one.world
            );
            return Ok(Err(("WrongWorld".to_owned(), message)));
        }
        one.world = world;
        let (build, delivery) = (Build::Delivered(digest.clone()), arrived.delivery.id.clone());
        let failed = record
            .failed
            .as_ref()
            .is_some_and(|failed| failed.build == build && failed.delivery == delivery);
        if !arrived.copied && !failed {
            if arrived.dropped() {
                // The ConfigMap changed or was deleted meanwhile; the watch will report it.
                let again = self.writer.delivered(map).await?;
                let again = again.filter(|again| again.id == arrived.delivery.id);
                let Some(again) = again else { return Ok(Ok(Offer::Keep)) };
                arrived.delivery = again;
            }
            if let Ok((key, octets)) = &arrived.delivery.octets {
                self.writer.copy(name, &digest, key, octets.clone()).await?;
            }
            arrived.copied = true;
            // The leader does not hold megabytes that the API server stores.
            arrived.delivery.octets = Ok(("", Vec::new()));
        }
        Ok(Ok(Offer::Build { build, delivery }))
    }

    /// Deletes copies of builds that neither run nor might be run.
    pub(super) async fn sweep(&mut self) -> Result<(), WriteError> {
        let mut needed = BTreeSet::new();
        for (name, one) in &self.all {
            let Record { active, previous, candidate, .. } = one.rollout.record();
            let candidate = candidate.as_ref().map(|candidate| &candidate.build);
            for build in [active.as_ref(), previous.as_ref(), candidate].into_iter().flatten() {
                if let Build::Delivered(digest) = build {
                    needed.insert((name.clone(), digest.clone()));
                }
            }
        }
        if self.swept.as_ref() == Some(&needed) {
            return Ok(());
        }
        let wanted =
            |name: &str, digest: &str| needed.contains(&(name.to_owned(), digest.to_owned()));
        self.writer.sweep(wanted).await?;
        for arrived in self.deliveries.values_mut() {
            if let Ok((digest, _)) = &arrived.checked {
                arrived.copied &= needed.contains(&(arrived.delivery.name.clone(), digest.clone()));
            }
        }
        self.swept = Some(needed);
        Ok(())
    }
}

impl Arrived {
    /// Returns true if the delivery's data was not kept.
    fn dropped(&self) -> bool {
        self.delivery.octets.as_ref().is_ok_and(|(key, _)| key.is_empty())
    }
}
