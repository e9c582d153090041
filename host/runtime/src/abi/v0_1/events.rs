//! Conversions for the events that an announcer receives. WIT: `events`.
use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types::Extension;
use super::announcer::outrigger::plugin::{events as wit, network};
use super::convert::each;

impl From<&sdk::Event> for wit::Event {
    fn from(event: &sdk::Event) -> Self {
        match event {
            sdk::Event::Resumed(resumed) => Self::Resumed(wit::Resumed {
                open: each(&resumed.open),
                offloads: resumed.offloads.clone(),
            }),
            sdk::Event::LinksChanged(changed) => Self::LinksChanged(wit::LinksChanged {
                reset: changed.reset,
                remove: changed.remove.clone(),
                upsert: each(&changed.upsert),
                more: changed.more,
            }),
            sdk::Event::DesiredChanged(changed) => Self::DesiredChanged(wit::DesiredChanged {
                reset: changed.reset,
                remove: each(changed.remove.iter().copied()),
                upsert: each(&changed.upsert),
                more: changed.more,
            }),
            sdk::Event::Frame(frame) => {
                Self::Frame(network::Frame { link: frame.link, data: frame.data.clone() })
            }
            sdk::Event::Opened(opened) => Self::Opened(opened.into()),
            sdk::Event::Accepted(accepted) => Self::Accepted(accepted.into()),
            sdk::Event::Data(bytes) => Self::Data(bytes.into()),
            sdk::Event::Credit(id, octets) => {
                Self::Credit(network::Credit { id: *id, octets: *octets })
            }
            sdk::Event::Closed(closed) => Self::Closed(closed.into()),
            sdk::Event::Datagram(datagram) => Self::Datagram(datagram.into()),
            sdk::Event::Expired(id) => Self::Expired(*id),
            sdk::Event::Wake(reason) => Self::Wake(reason.clone()),
            sdk::Event::Ended(endpoint) => Self::Ended(*endpoint),
            sdk::Event::Denied(denied) => Self::Denied(wit::Denied {
                effect: denied.effect.clone(),
                subject: denied.subject.clone(),
                reason: denied.reason.clone(),
            }),
            sdk::Event::Stopping(stopping) => Self::Stopping(wit::Stopping {
                reason: stopping.reason.into(),
                within_ms: stopping.within_ms,
            }),
            sdk::Event::Other(name) => {
                Self::Other(Extension { name: name.clone(), value: Vec::new() })
            }
        }
    }
}

impl From<sdk::StopReason> for wit::StopReason {
    fn from(reason: sdk::StopReason) -> Self {
        match reason {
            sdk::StopReason::Restart => Self::Restart,
            sdk::StopReason::Leave => Self::Leave,
            sdk::StopReason::Remove => Self::Remove,
            sdk::StopReason::Other => Self::Other,
        }
    }
}

impl From<&sdk::Link> for network::Link {
    fn from(link: &sdk::Link) -> Self {
        Self {
            index: link.index,
            name: link.name.clone(),
            mac: link.mac.octets().into(),
            mtu: link.mtu,
            up: link.up,
            arp: link.arp,
            generation: link.generation,
            addresses: each(link.addresses.iter().copied()),
            ext: Vec::new(),
        }
    }
}

impl From<&sdk::DesiredAddress> for wit::DesiredAddress {
    fn from(desired: &sdk::DesiredAddress) -> Self {
        Self {
            address: desired.address.into(),
            pool: desired.pool.clone(),
            services: each(&desired.services),
            duty: match &desired.duty {
                sdk::Duty::Announce => wit::Duty::Announce,
                sdk::Duty::TakeOver(node) => wit::Duty::TakeOver(node.clone()),
                sdk::Duty::HandOver(node) => wit::Duty::HandOver(node.clone()),
                sdk::Duty::Standby(node) => wit::Duty::Standby(node.clone()),
            },
            local_endpoints: wit::EndpointCount {
                ready: desired.local_endpoints.ready,
                serving: desired.local_endpoints.serving,
                terminating: desired.local_endpoints.terminating,
            },
            ext: desired.ext.clone(),
        }
    }
}
