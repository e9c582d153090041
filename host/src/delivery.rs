//! Follows what the controller publishes about plugins, on a member (a node, or the controller for policies): the
//! active build is fetched, compiled in a child process and activated, and a candidate is tried if this member is one
//! of those that try it. Must not know how a candidate is judged.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use outrigger_core::facts::{Build, Change, Fact, FactKey, Published};
use outrigger_kube::api::{NAMESPACE, read_copy};
use outrigger_kube::convert::copy_name;
use outrigger_runtime::Plugin;
use tokio::sync::watch;

use crate::plugins::Plugins;
use crate::trial::TrialFailure;

/// Delay between two attempts to load a build.
const RETRY: Duration = Duration::from_secs(2);
/// Timeout for a request to the API server.
const REQUEST: Duration = Duration::from_secs(5);

/// Called with a plugin's name when its active build or candidate changed.
type Changed = Arc<dyn Fn(&str) + Send + Sync>;

/// Follows every plugin, each on a task of its own, because fetching and compiling are slow.
pub struct Deliveries {
    follower: DeliveryTask,
    followed: BTreeMap<String, watch::Sender<Published>>,
}

#[derive(Clone)]
struct DeliveryTask {
    plugins: Arc<Plugins>,
    client: Client,
    /// Names under which this member may be asked to try a candidate.
    names: Vec<String>,
    changed: Changed,
}

/// Reason why a build is not available.
enum Unavailable {
    /// It may be available later.
    Later(String),
    /// It will never be usable.
    Never(TrialFailure),
}

impl Deliveries {
    /// Creates an instance that follows nothing yet.
    pub fn new(
        plugins: Arc<Plugins>,
        client: Client,
        names: Vec<String>,
        changed: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let changed = Arc::new(changed);
        Self {
            follower: DeliveryTask { plugins, client, names, changed },
            followed: BTreeMap::new(),
        }
    }

    /// Applies what a change says about plugins.
    pub fn follow(&mut self, change: &Change) {
        match change {
            Change::Upsert(Fact::Published(published)) => self.publish(Published::clone(published)),
            Change::Remove(FactKey::Published(name)) => {
                // The task ends when the sender is dropped.
                self.followed.remove(name);
                if let Err(error) = self.follower.plugins.withdraw(name) {
                    tracing::error!(
                        plugin = name,
                        "the embedded plugin cannot be restored: {error}"
                    );
                }
                (self.follower.changed)(name);
            }
            _ => {}
        }
    }

    fn publish(&mut self, published: Published) {
        if let Some(followed) = self.followed.get(&published.name) {
            followed.send_replace(published);
            return;
        }
        if published.active.is_some() {
            self.follower.plugins.await_active(&published.name);
        }
        let name = published.name.clone();
        let (latest, says) = watch::channel(published);
        tokio::spawn(self.follower.clone().run(says));
        self.followed.insert(name, latest);
    }
}

impl DeliveryTask {
    async fn run(self, mut says: watch::Receiver<Published>) {
        loop {
            let published = says.borrow_and_update().clone();
            let well = self.step(&published, &says).await;
            let next = async {
                match well {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                changed = says.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = next => {}
            }
        }
    }

    /// Brings the plugin in line with what is published. Returns false if that must be retried soon.
    async fn step(&self, published: &Published, says: &watch::Receiver<Published>) -> bool {
        let name = &published.name;
        let mut well = true;
        if let Some(build) =
            published.active.as_ref().filter(|build| !self.plugins.is_active(name, build))
        {
            let loaded = self.load(name, build, 0).await;
            if says.has_changed().is_err() {
                return true;
            }
            match loaded {
                Ok(plugin) => {
                    tracing::info!(plugin = name, %build, "active");
                    self.plugins.activate(name, plugin, origin(name, build));
                }
                Err(missing) => {
                    let message = match missing {
                        Unavailable::Later(message) => message,
                        Unavailable::Never(verdict) => verdict.message,
                    };
                    tracing::warn!(plugin = name, %build, "the active build cannot be loaded: {message}");
                    self.plugins.unavailable(name, origin(name, build), message);
                    well = false;
                }
            }
            (self.changed)(name);
        }
        let mine = self.names.iter().any(|name| published.nodes.contains(name));
        match published.candidate.as_ref().filter(|_| mine) {
            Some(build) => self.try_out(published, build, says).await && well,
            None => {
                if self.plugins.end_trial(name) {
                    (self.changed)(name);
                }
                well
            }
        }
    }

    async fn try_out(
        &self,
        published: &Published,
        build: &Build,
        says: &watch::Receiver<Published>,
    ) -> bool {
        let Published { name, attempt, compile_within_seconds, .. } = published;
        if !self.plugins.begin_trial(name, *attempt) {
            return true;
        }
        (self.changed)(name);
        let loaded = self.load(name, build, *compile_within_seconds).await;
        if says.has_changed().is_err() {
            return true;
        }
        match loaded {
            Ok(plugin) => {
                tracing::info!(plugin = name, %build, attempt, "trying a candidate");
                self.plugins.try_out(name, *attempt, plugin, origin(name, build));
            }
            Err(Unavailable::Later(message)) => {
                tracing::warn!(plugin = name, %build, "the candidate cannot be loaded: {message}");
                return false;
            }
            Err(Unavailable::Never(verdict)) => self.plugins.refuse_trial(name, *attempt, verdict),
        }
        (self.changed)(name);
        true
    }

    /// Loads a build, from the disk if it was loaded before, and otherwise from the API server.
    async fn load(
        &self,
        name: &str,
        build: &Build,
        within_seconds: u32,
    ) -> Result<Arc<Plugin>, Unavailable> {
        let plugins = self.plugins.clone();
        let owned = name.to_owned();
        let Build::Delivered(digest) = build else {
            return blocking(move || plugins.load_embedded(&owned)).await;
        };
        let within = (within_seconds > 0).then(|| Duration::from_secs(within_seconds.into()));
        let load = |bytes: Vec<u8>| {
            let (plugins, name, digest) = (plugins.clone(), owned.clone(), digest.clone());
            blocking(move || plugins.load_delivered(&name, &digest, &bytes, within))
        };
        if let Some(bytes) = self.plugins.kept(digest) {
            match load(bytes).await {
                // The file on disk is damaged; the API server has an intact copy.
                Err(Unavailable::Never(verdict)) if verdict.reason == "NotAPlugin" => {}
                loaded => return loaded,
            }
        }
        let read = tokio::time::timeout(REQUEST, read_copy(&self.client, name, digest)).await;
        let bytes = read
            .map_err(|_| Unavailable::Later("the API server does not answer".to_owned()))?
            .map_err(|error| Unavailable::Later(error.to_string()))?;
        load(bytes).await
    }
}

/// Runs a load on a thread of its own, because inspecting and compiling are slow.
async fn blocking(
    load: impl FnOnce() -> Result<Arc<Plugin>, TrialFailure> + Send + 'static,
) -> Result<Arc<Plugin>, Unavailable> {
    match tokio::task::spawn_blocking(load).await {
        Ok(loaded) => loaded.map_err(Unavailable::Never),
        Err(error) => {
            let message = format!("inspecting it failed ({error}): report this as a bug");
            Err(Unavailable::Never(TrialFailure { reason: "NotAPlugin", message }))
        }
    }
}

fn origin(name: &str, build: &Build) -> String {
    match build {
        Build::Embedded => "embedded".to_owned(),
        Build::Delivered(digest) => format!("ConfigMap {NAMESPACE}/{}", copy_name(name, digest)),
    }
}

#[cfg(test)]
mod tests {
    use outrigger_runtime::{Compiler, Engine};

    use super::*;
    use crate::embedded;

    #[tokio::test]
    async fn a_silent_api_server_keeps_nobody_from_what_was_loaded_before() {
        let cache = tempfile::tempdir().unwrap();
        let compiler = Compiler::new("/nonexistent".into(), vec![], cache.path().join("cache"));
        let plugins = Arc::new(Plugins::new(Engine::new().unwrap(), compiler).unwrap());
        let layer2 = embedded::PLUGINS.iter().find(|it| it.name == "layer2").unwrap();
        let digest = plugins.load_embedded("layer2").unwrap().inspection().digest.clone();
        // An earlier process loaded it from the API server.
        plugins.load_delivered("layer2", &digest, layer2.bytes, None).unwrap();
        let nobody = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(nobody).unwrap();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let changed = move |name: &str| drop(tell.send(name.to_owned()));
        let mut deliveries =
            Deliveries::new(plugins.clone(), client, vec!["n1".to_owned()], changed);
        let mut published = Published {
            name: "layer2".to_owned(),
            attempt: 1,
            active: Some(Build::Delivered(digest.clone())),
            candidate: None,
            nodes: Default::default(),
            compile_within_seconds: 0,
        };
        deliveries.follow(&Change::Upsert(Fact::Published(Arc::new(published.clone()))));
        assert!(plugins.awaited("layer2"));
        assert_eq!(told.recv().await.as_deref(), Some("layer2"));
        assert!(plugins.is_active("layer2", &Build::Delivered(digest.clone())));
        let origin = plugins.get("layer2").unwrap().origin;
        assert_eq!(origin, format!("ConfigMap outrigger-system/plugin-layer2-{digest:.12}"));

        published.active = Some(Build::Delivered("ab".repeat(32)));
        deliveries.follow(&Change::Upsert(Fact::Published(Arc::new(published))));
        assert_eq!(told.recv().await.as_deref(), Some("layer2"));
        assert_eq!(plugins.get("layer2").unwrap().origin, origin, "what serves serves on");
        let said = plugins.list().into_iter().find(|it| it.name == "layer2").unwrap().failed;
        assert!(said.is_some_and(|(from, _)| from.contains("plugin-layer2-abababababab")));
    }
}
