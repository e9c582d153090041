//! One kind's watch, on a task of its own: objects are converted as they come and dropped, so that only facts are kept.
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Resource};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt as _};
use outrigger_core::facts::{self, Fact, ServiceKey};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::super::services::{self, Observed};
use super::failures::{Failures, failures};
use crate::convert::{self, Converted, Invalid, ServiceClasses};
use crate::crd::{AddressPool, Announcer, NodeReport, Plugin};

/// Between two attempts to open a watch.
const BACK_OFF: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Objects in one answer of a listing. An object is many times larger in the API server's words than as a fact, above all its
/// `managedFields`, and an answer is in memory as a whole.
const PAGE: u32 = 50;

/// A watch that was opened again and failed no more for this long works.
const CALM: Duration = Duration::from_secs(5);

/// A kind of object that facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Services of every namespace.
    Services,
    /// EndpointSlices of every namespace.
    EndpointSlices,
    /// Nodes.
    Nodes,
    /// Namespaces.
    Namespaces,
    /// AddressPools.
    AddressPools,
    /// Announcers.
    Announcers,
    /// Plugins: which build of each is to run.
    Plugins,
    /// What nodes say of themselves. No decision depends on it, so that nothing waits for its listing.
    NodeReports,
}

/// What a watch has to say.
pub(super) enum Said {
    /// Everything there is; what is not in it does not exist.
    Listed(Kind, Vec<Seen>),
    /// One object is so now.
    Seen(Kind, Box<Seen>),
    /// One object is gone.
    Gone(Kind, ServiceKey),
    /// The API server cannot be heard, and why.
    Failed(Kind, String),
    /// It can be heard again, and has nothing new to say.
    Recovered(Kind),
}

/// One object, converted.
pub(super) struct Seen {
    /// Namespace ("" when cluster-scoped) and name.
    pub key: ServiceKey,
    pub converted: Result<Converted, Invalid>,
    /// Of a Service that could not be converted: what is known of it without anything from before.
    pub unclear: Option<facts::Service>,
    /// Of a Service whose status is looked after.
    pub observed: Option<Observed>,
    /// Of a NodeReport.
    pub failures: Failures,
}

impl Kind {
    /// Everything that allocation and announcement depend on.
    pub const ALL: [Self; 7] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Nodes,
        Self::Namespaces,
        Self::AddressPools,
        Self::Announcers,
        Self::Plugins,
    ];

    /// As `kubectl get` names it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Nodes => "nodes",
            Self::Namespaces => "namespaces",
            Self::AddressPools => "addresspools",
            Self::Announcers => "announcers",
            Self::Plugins => "plugins",
            Self::NodeReports => "nodereports",
        }
    }

    /// The kind that a fact comes from.
    pub(super) fn of(fact: &Fact) -> Self {
        match fact {
            Fact::Service(_) => Self::Services,
            Fact::Endpoints(_) => Self::EndpointSlices,
            Fact::Node(_) => Self::Nodes,
            Fact::Namespace(_) => Self::Namespaces,
            Fact::Pool(_) => Self::AddressPools,
            Fact::Announcer(_) => Self::Announcers,
            Fact::Plugin(_) | Fact::Published(_) => Self::Plugins,
        }
    }

    /// The object that a fact of ours comes from.
    pub(super) fn object(fact: &Fact) -> ServiceKey {
        let global = |name: &String| ServiceKey { namespace: String::new(), name: name.clone() };
        match fact {
            Fact::Service(service) => service.key.clone(),
            Fact::Endpoints(endpoints) => endpoints.slice.clone(),
            Fact::Node(node) => global(&node.name),
            Fact::Namespace(namespace) => global(&namespace.name),
            Fact::Pool(pool) => global(&pool.name),
            Fact::Announcer(announcer) => global(&announcer.name),
            // Not from a cluster: a folder's.
            Fact::Plugin(plugin) => global(&plugin.name),
            Fact::Published(published) => global(&published.name),
        }
    }

    /// Where an object of this kind stands among all claimants.
    pub(super) fn path(self, key: &ServiceKey) -> PathBuf {
        let kind = match self {
            Self::Services => "Service",
            Self::EndpointSlices => "EndpointSlice",
            Self::Nodes => "Node",
            Self::Namespaces => "Namespace",
            Self::AddressPools => "AddressPool",
            Self::Announcers => "Announcer",
            Self::Plugins => "Plugin",
            Self::NodeReports => "NodeReport",
        };
        [kind, key.namespace.as_str(), key.name.as_str()].iter().collect()
    }

    /// Watches this kind for as long as the runtime lives.
    pub(super) fn watch(
        self,
        client: &Client,
        classes: &ServiceClasses,
        observe: bool,
        says: mpsc::UnboundedSender<Said>,
    ) {
        let client = client.clone();
        let everything = watcher::Config::default().page_size(PAGE);
        match self {
            Self::Services => {
                let classes = classes.clone();
                let see = move |object: &Service| see_service(object, &classes, observe);
                spawn(self, Api::<Service>::all(client), everything, says, see);
            }
            Self::EndpointSlices => {
                let api = Api::<EndpointSlice>::all(client);
                spawn(self, api, everything, says, |slice| seen(slice, convert::endpoint_slice));
            }
            Self::Nodes => {
                let api = Api::<Node>::all(client);
                spawn(self, api, everything, says, |node| seen(node, convert::node));
            }
            Self::Namespaces => {
                let api = Api::<Namespace>::all(client);
                spawn(self, api, everything, says, |it| seen(it, convert::namespace));
            }
            Self::AddressPools => {
                let api = Api::<AddressPool>::all(client);
                spawn(self, api, everything, says, |pool| seen(pool, convert::address_pool));
            }
            Self::Announcers => {
                let api = Api::<Announcer>::all(client);
                spawn(self, api, everything, says, |it| seen(it, convert::announcer));
            }
            Self::Plugins => {
                let api = Api::<Plugin>::all(client);
                spawn(self, api, everything, says, |it| seen(it, convert::plugin));
            }
            Self::NodeReports => {
                let api = Api::<NodeReport>::all(client);
                spawn(self, api, everything, says, see_report);
            }
        }
    }
}

fn seen<K: Resource>(object: &K, convert: fn(&K) -> Result<Converted, Invalid>) -> Seen {
    Seen::new(key(object), convert(object))
}

impl Seen {
    /// With nothing but its facts.
    pub fn new(key: ServiceKey, converted: Result<Converted, Invalid>) -> Self {
        Self { key, converted, unclear: None, observed: None, failures: Failures::new() }
    }
}

pub(super) fn see_report(report: &NodeReport) -> Seen {
    let failures = report.status.as_ref().map(failures).unwrap_or_default();
    Seen { failures, ..Seen::new(key(report), Ok(Converted::default())) }
}

pub(super) fn see_service(object: &Service, classes: &ServiceClasses, observe: bool) -> Seen {
    let converted = convert::service(object, classes);
    let invalid = converted.as_ref().err();
    Seen {
        unclear: invalid.and_then(|it| convert::unclear_service(object, classes, None, it)),
        observed: observe.then(|| services::observe(object)).flatten(),
        ..Seen::new(key(object), converted)
    }
}

fn key<K: Resource>(object: &K) -> ServiceKey {
    ServiceKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn spawn<K>(
    kind: Kind,
    api: Api<K>,
    config: watcher::Config,
    says: mpsc::UnboundedSender<Said>,
    see: impl Fn(&K) -> Seen + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    tokio::spawn(async move {
        let mut listing = Vec::new();
        let mut failures = 0;
        let mut events = watcher::watcher(api, config).boxed();
        // The stream ends never; the receiver does when its role ends.
        loop {
            let event = match failures {
                0 => events.next().await,
                _ => match tokio::time::timeout(CALM, events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        failures = 0;
                        let _ = says.send(Said::Recovered(kind));
                        continue;
                    }
                },
            };
            let Some(event) = event else { return };
            let said = match event {
                Ok(Event::Init) => {
                    listing.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listing.push(see(&object));
                    continue;
                }
                Ok(Event::InitDone) => Said::Listed(kind, std::mem::take(&mut listing)),
                Ok(Event::Apply(object)) => Said::Seen(kind, Box::new(see(&object))),
                Ok(Event::Delete(object)) => Said::Gone(kind, key(&object)),
                Err(error) => {
                    tracing::warn!(kind = kind.plural(), "the watch failed: {error}");
                    let pause = BACK_OFF[failures.min(BACK_OFF.len() - 1)];
                    failures += 1;
                    if says.send(Said::Failed(kind, error.to_string())).is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            failures = 0;
            if says.send(said).is_err() {
                return;
            }
        }
    });
}
