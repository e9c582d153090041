//! Defines the watched kinds, the parts of an object of each kind that are kept, and the watch of a kind, which runs on a
//! task of its own.
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Resource};
use kube::{Client, ResourceExt as _};
use outrigger_core::facts::{self, Fact, ServiceKey};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::super::services::{self, Observed};
use super::super::watcher::{Follow, WatchEvent, key};
use super::rollout_feed::RawObject;
use crate::convert::{self, Converted, Invalid, ServiceClasses};
use crate::crd::{AddressPool, Announcer, NodeReport, Plugin};

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
    /// Plugins, which determine the build of each plugin that should run.
    Plugins,
    /// NodeReports. No decision depends on them, so that nothing waits for their listing.
    NodeReports,
}

/// The consumer of the watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The role that announces.
    Node,
    /// The role that allocates and writes status. The status of Services is kept for the status writer, and NodeReports are
    /// watched.
    Controller,
    /// A user's command that reads once.
    Person,
}

impl Reader {
    /// Returns the kinds that the consumer needs.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| match kind {
            // EndpointSlices determine where an address is announced, not which one it is; and no other kind changes as often.
            Kind::EndpointSlices => self != Self::Controller,
            Kind::NodeReports => self == Self::Controller,
            _ => true,
        })
    }
}

/// An event of the watch of a kind.
pub(super) type KindEvent = (Kind, WatchEvent<Seen>);

/// One object, converted.
pub(super) struct Seen {
    /// Namespace ("" if cluster-scoped) and name.
    pub key: ServiceKey,
    pub converted: Result<Converted, Invalid>,
    /// For a Service that could not be converted: what can be read of it without any earlier state.
    pub unclear: Option<facts::Service>,
    /// For a Service whose status is tracked.
    pub observed: Option<Observed>,
    /// For a kind that rollouts need.
    pub whole: Option<RawObject>,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 8] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Nodes,
        Self::Namespaces,
        Self::AddressPools,
        Self::Announcers,
        Self::Plugins,
        Self::NodeReports,
    ];

    /// Returns the plural name that `kubectl get` uses.
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

    /// Returns the kind that a fact comes from.
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

    /// Returns the object that a fact comes from.
    pub(super) fn object(fact: &Fact) -> ServiceKey {
        let global = |name: &String| ServiceKey::new("", name);
        match fact {
            Fact::Service(service) => service.key.clone(),
            Fact::Endpoints(endpoints) => endpoints.slice.clone(),
            Fact::Node(node) => global(&node.name),
            Fact::Namespace(namespace) => global(&namespace.name),
            Fact::Pool(pool) => global(&pool.name),
            Fact::Announcer(announcer) => global(&announcer.name),
            // Plugins of this form come from a folder, not from a cluster.
            Fact::Plugin(plugin) => global(&plugin.name),
            Fact::Published(published) => global(&published.name),
        }
    }

    /// Returns the path under which an object of this kind claims facts.
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
        [kind, key.namespace(), key.name()].iter().collect()
    }

    /// Watches this kind until the receiver is dropped or the runtime shuts down.
    pub(super) fn watch(
        self,
        client: &Client,
        classes: &ServiceClasses,
        reader: Reader,
        says: mpsc::UnboundedSender<KindEvent>,
    ) {
        let (client, observe) = (client.clone(), reader != Reader::Node);
        match self {
            Self::Services => {
                let classes = classes.clone();
                let see = move |object: &Service| see_service(object, &classes, observe);
                spawn(self, Api::<Service>::all(client), says, see);
            }
            Self::EndpointSlices => {
                let api = Api::<EndpointSlice>::all(client);
                spawn(self, api, says, |slice| seen(slice, convert::endpoint_slice));
            }
            Self::Nodes => {
                let api = Api::<Node>::all(client);
                spawn(self, api, says, |node| seen(node, convert::node));
            }
            Self::Namespaces => {
                let api = Api::<Namespace>::all(client);
                spawn(self, api, says, |it| seen(it, convert::namespace));
            }
            Self::AddressPools => {
                let api = Api::<AddressPool>::all(client);
                spawn(self, api, says, |pool| seen(pool, convert::address_pool));
            }
            Self::Announcers => {
                let api = Api::<Announcer>::all(client);
                spawn(self, api, says, |it| seen(it, convert::announcer));
            }
            Self::Plugins => {
                let see = move |object: &Plugin| see_plugin(object, observe);
                spawn(self, Api::<Plugin>::all(client), says, see);
            }
            Self::NodeReports => {
                let api = Api::<NodeReport>::all(client);
                spawn(self, api, says, see_report);
            }
        }
    }
}

fn seen<K: Resource>(object: &K, convert: fn(&K) -> Result<Converted, Invalid>) -> Seen {
    Seen::new(key(object), convert(object))
}

impl Seen {
    /// Creates an entry with only its facts.
    pub fn new(key: ServiceKey, converted: Result<Converted, Invalid>) -> Self {
        Self { key, converted, unclear: None, observed: None, whole: None }
    }
}

pub(super) fn see_report(report: &NodeReport) -> Seen {
    let status = report.status.clone().unwrap_or_default();
    let whole = Some(RawObject::Report(Arc::new(status)));
    Seen { whole, ..Seen::new(key(report), Ok(Converted::default())) }
}

pub(super) fn see_plugin(object: &Plugin, observe: bool) -> Seen {
    let whole = observe.then(|| {
        let version = object.resource_version().unwrap_or_default();
        RawObject::Plugin(version, Arc::new(object.status.clone().unwrap_or_default()))
    });
    Seen { whole, ..seen(object, convert::plugin) }
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

fn spawn<K>(
    kind: Kind,
    api: Api<K>,
    says: mpsc::UnboundedSender<KindEvent>,
    see: impl Fn(&K) -> Seen + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    tokio::spawn(async move {
        let mut follow = Follow::new(kind.plural(), api, None, see);
        while let Some(heard) = follow.next().await {
            // The receiver is dropped when its role ends.
            if says.send((kind, heard)).is_err() {
                return;
            }
        }
    });
}
