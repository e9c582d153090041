//! World `announcer`, incoming conversions: context, origin and events.
use super::announcer::outrigger::plugin::{events as wit, network};
use super::endpoints;
use super::machine;
use super::service::{address, addresses, mac, prefix, service};
use super::wit as words;
use crate::{
    Context, Denied, DesiredAddress, DesiredChanged, Duty, EndpointCount, Event, FieldError, Frame,
    Link, LinksChanged, Origin, Resumed, SavedState, StopReason, Stopping,
};

pub fn context(context: machine::Context) -> Context {
    Context {
        instance: context.instance,
        node: context.node,
        config: context.config,
        seed: context.seed,
        ext: context.ext,
    }
}

pub fn origin(origin: machine::Origin) -> Origin {
    match origin {
        machine::Origin::Fresh => Origin::Fresh,
        machine::Origin::Restored(saved) => {
            Origin::Restored(SavedState { format: saved.format, data: saved.data })
        }
    }
}

pub fn field_errors(errors: Vec<FieldError>) -> Vec<words::FieldError> {
    errors
        .into_iter()
        .map(|error| words::FieldError { path: error.path, message: error.message })
        .collect()
}

/// Converts an event. Events about requests, which this SDK does not support, keep only their name.
pub fn event(event: wit::Event) -> Event {
    match event {
        wit::Event::Resumed(resumed) => Event::Resumed(Resumed {
            open: resumed.open.into_iter().map(endpoints::resumed).collect(),
            offloads: resumed.offloads,
        }),
        wit::Event::LinksChanged(links) => Event::LinksChanged(LinksChanged {
            reset: links.reset,
            remove: links.remove,
            upsert: links.upsert.into_iter().map(link).collect(),
            more: links.more,
        }),
        wit::Event::DesiredChanged(desired) => Event::DesiredChanged(DesiredChanged {
            reset: desired.reset,
            remove: addresses(desired.remove),
            upsert: desired.upsert.into_iter().map(desired_address).collect(),
            more: desired.more,
        }),
        wit::Event::Frame(frame) => Event::Frame(Frame { link: frame.link, data: frame.data }),
        wit::Event::Wake(reason) => Event::Wake(reason),
        wit::Event::Ended(id) => Event::Ended(id),
        wit::Event::Denied(denied) => Event::Denied(Denied {
            effect: denied.effect,
            subject: denied.subject,
            reason: denied.reason,
        }),
        wit::Event::Stopping(stopping) => Event::Stopping(Stopping {
            reason: stop_reason(stopping.reason),
            within_ms: stopping.within_ms,
        }),
        wit::Event::Opened(opened) => Event::Opened(endpoints::opened(opened)),
        wit::Event::Accepted(accepted) => Event::Accepted(endpoints::accepted(accepted)),
        wit::Event::Data(bytes) => Event::Data(endpoints::data(bytes)),
        wit::Event::Credit(credit) => Event::Credit(credit.id, credit.octets),
        wit::Event::Closed(closed) => Event::Closed(endpoints::closed(closed)),
        wit::Event::Datagram(datagram) => Event::Datagram(endpoints::datagram(datagram)),
        wit::Event::Expired(id) => Event::Expired(id),
        wit::Event::HttpResponse(_) => unknown("http-response"),
        wit::Event::DnsResponse(_) => unknown("dns-response"),
        wit::Event::Other(extension) => Event::Other(extension.name),
    }
}

fn unknown(name: &str) -> Event {
    Event::Other(name.to_owned())
}

fn link(link: network::Link) -> Link {
    Link {
        index: link.index,
        name: link.name,
        mac: mac(link.mac),
        mtu: link.mtu,
        up: link.up,
        arp: link.arp,
        generation: link.generation,
        addresses: link.addresses.into_iter().filter_map(prefix).collect(),
    }
}

fn desired_address(desired: wit::DesiredAddress) -> DesiredAddress {
    let wit::EndpointCount { ready, serving, terminating } = desired.local_endpoints;
    DesiredAddress {
        address: address(desired.address),
        pool: desired.pool,
        services: desired.services.into_iter().map(service).collect(),
        duty: match desired.duty {
            wit::Duty::Announce => Duty::Announce,
            wit::Duty::TakeOver(node) => Duty::TakeOver(node),
            wit::Duty::HandOver(node) => Duty::HandOver(node),
            wit::Duty::Standby(node) => Duty::Standby(node),
        },
        local_endpoints: EndpointCount { ready, serving, terminating },
        ext: desired.ext,
    }
}

fn stop_reason(reason: wit::StopReason) -> StopReason {
    match reason {
        wit::StopReason::Restart => StopReason::Restart,
        wit::StopReason::Leave => StopReason::Leave,
        wit::StopReason::Remove => StopReason::Remove,
        wit::StopReason::Other => StopReason::Other,
    }
}
