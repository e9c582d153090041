//! Opens the sources of a node's facts and keys: the API server or a folder. Must not know how they are used.
use std::sync::Arc;

use kube::Client;
use outrigger_kube::{Folder, State};

use super::Shared;
use crate::cluster::{self, Sent};
use crate::config::Config;
use crate::secret_store::SecretStore;
use crate::source::Source;

/// Sources of this node's facts and keys: a cluster or a folder.
pub(super) struct Setup {
    pub source: Source,
    pub gossip_key: [u8; 32],
    pub sent: Option<Sent>,
    pub secret_store: SecretStore,
}

impl Setup {
    pub async fn open(
        config: &Config,
        name: &str,
        state: &Arc<State>,
        shared: &mut Shared,
        client: Option<&Client>,
    ) -> anyhow::Result<Self> {
        if let Some(client) = client {
            return Ok(Self {
                gossip_key: cluster::gossip_key(client, state, &mut shared.questions).await?,
                source: cluster::watch(client, &config.classes()),
                sent: Some(Sent::start(client, name)),
                secret_store: SecretStore::of_cluster(client),
            });
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| anyhow::anyhow!("the kernel returned no random numbers: {error}"))?;
        let manifests = config.manifests()?;
        let folder = Folder::open(manifests, Some(state))?.with_classes(config.classes());
        Ok(Self {
            source: Source::Folder(Box::new(folder)),
            gossip_key: state.gossip_key(random)?,
            sent: None,
            secret_store: SecretStore::Folder(manifests.into()),
        })
    }
}
