//! Conversions for the effects that an announcer requests. An effect that this host cannot carry out becomes
//! [`sdk::Effect::Unsupported`] with its name and subject, so that the guard denies it by name. WIT: `effects`.
use std::net::IpAddr;

use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types::IpAddress;
use super::announcer::outrigger::plugin::{effects as wit, network, status};
use super::convert::each;
use super::endpoints;

impl From<wit::Reply> for sdk::Reply {
    fn from(reply: wit::Reply) -> Self {
        Self {
            effects: each(reply.effects),
            wake: match reply.wake {
                wit::Wake::Never => sdk::Wake::Never,
                wit::Wake::After(timer) => sdk::Wake::After { ms: timer.ms, reason: timer.reason },
            },
        }
    }
}

impl From<wit::Effect> for sdk::Effect {
    fn from(effect: wit::Effect) -> Self {
        match effect {
            wit::Effect::WatchFrames(watched) => watch("watch-frames", watched, Self::WatchFrames),
            wit::Effect::UnwatchFrames(watched) => {
                watch("unwatch-frames", watched, Self::UnwatchFrames)
            }
            wit::Effect::SendFrame(sent) => Self::SendFrame(frame(sent)),
            wit::Effect::JoinGroup(group) => match group.group.into() {
                IpAddr::V6(address) => Self::JoinGroup { link: group.link, group: address },
                IpAddr::V4(address) => unsupported("join-group", address),
            },
            wit::Effect::LeaveGroup(group) => match group.group.into() {
                IpAddr::V6(address) => Self::LeaveGroup { link: group.link, group: address },
                IpAddr::V4(address) => unsupported("leave-group", address),
            },
            wit::Effect::Offload(work) => offload(work),
            wit::Effect::Connect(connect) => endpoints::connect(connect),
            wit::Effect::Listen(listen) => endpoints::listen(listen),
            wit::Effect::Write(bytes) => endpoints::write(bytes),
            wit::Effect::OpenSocket(open) => endpoints::open_socket(open),
            wit::Effect::SendDatagram(sent) => Self::SendDatagram(endpoints::datagram(sent)),
            wit::Effect::Close(close) => endpoints::close(close),
            wit::Effect::Report(said) => Self::Report(report(said)),
            wit::Effect::Drained => Self::Drained,
            wit::Effect::HttpRequest(request) => unsupported("http-request", request.url),
            wit::Effect::DnsRequest(request) => unsupported("dns-request", request.server),
            wit::Effect::Other(extension) => unsupported("other", extension.name),
        }
    }
}

pub(super) fn unsupported(effect: &str, subject: impl ToString) -> sdk::Effect {
    sdk::Effect::Unsupported { effect: effect.into(), subject: subject.to_string() }
}

fn ip(address: &IpAddress) -> IpAddr {
    (*address).into()
}

fn frame(frame: network::Frame) -> sdk::Frame {
    sdk::Frame { link: frame.link, data: frame.data }
}

/// Converts a watch. It is refused as a whole if one topic cannot be watched: a partial watch would look like silence
/// on the wire.
fn watch(
    effect: &str,
    watched: network::FrameWatch,
    carry_out: impl FnOnce(sdk::FrameWatch) -> sdk::Effect,
) -> sdk::Effect {
    let mut topics = Vec::with_capacity(watched.topics.len());
    for topic in watched.topics {
        match topic_of(topic) {
            Ok(topic) => topics.push(topic),
            Err(subject) => return unsupported(effect, subject),
        }
    }
    carry_out(sdk::FrameWatch { link: watched.link, topics })
}

fn topic_of(topic: network::FrameTopic) -> Result<sdk::Topic, String> {
    let address = match &topic {
        network::FrameTopic::Arp(address) | network::FrameTopic::Ndp(address) => ip(address),
        network::FrameTopic::RouterDiscovery => return Err("router-discovery".into()),
        network::FrameTopic::Other(name) => return Err(name.clone()),
    };
    match (&topic, address) {
        (network::FrameTopic::Arp(_), IpAddr::V4(address)) => Ok(sdk::Topic::Arp(address)),
        (network::FrameTopic::Ndp(_), IpAddr::V6(address)) => Ok(sdk::Topic::Ndp(address)),
        // ARP is IPv4 only (RFC 826), Neighbor Discovery IPv6 only (RFC 4861).
        _ => Err(address.to_string()),
    }
}

fn offload(offload: network::Offload) -> sdk::Effect {
    let work = match offload.work {
        network::OffloadWork::AnswerNeighbor(answer) => {
            sdk::OffloadWork::AnswerNeighbor { link: answer.link, address: answer.address.into() }
        }
        network::OffloadWork::Beacon(beacon) => match beacon.payload {
            network::BeaconPayload::Frame(sent) => sdk::OffloadWork::Beacon(sdk::Beacon {
                frame: frame(sent),
                interval_us: beacon.interval_us,
                jitter_percent: beacon.jitter_percent,
                count: beacon.count,
            }),
            network::BeaconPayload::Datagram(sent) => {
                sdk::OffloadWork::DatagramBeacon(sdk::DatagramBeacon {
                    datagram: endpoints::datagram(sent),
                    interval_us: beacon.interval_us,
                    jitter_percent: beacon.jitter_percent,
                    count: beacon.count,
                })
            }
            network::BeaconPayload::Other(extension) => {
                return unsupported("offload", format!("beacon {}", extension.name));
            }
        },
        network::OffloadWork::Keepalive(keepalive) => sdk::OffloadWork::Keepalive {
            endpoint: keepalive.endpoint,
            data: keepalive.data,
            interval_ms: keepalive.interval_ms,
        },
        network::OffloadWork::Expect(expect) => sdk::OffloadWork::Expect {
            endpoint: expect.endpoint,
            remote: expect.remote.into(),
            within_us: expect.within_us,
            then_close: expect.then_close,
        },
        network::OffloadWork::Other(extension) => return unsupported("offload", extension.name),
    };
    sdk::Effect::Offload(sdk::Offload { id: offload.id, work })
}

fn report(report: status::Report) -> sdk::Report {
    match report {
        status::Report::Address(report) => sdk::Report::Address(sdk::AddressReport {
            address: report.address.into(),
            state: state(report.state),
            via: report.via,
            reason: report.reason,
            message: report.message,
        }),
        status::Report::Condition(condition) => sdk::Report::Condition(sdk::Condition {
            kind: condition.kind,
            status: match condition.status {
                status::ConditionStatus::Yes => Some(true),
                status::ConditionStatus::No => Some(false),
                status::ConditionStatus::Unknown => None,
            },
            reason: condition.reason,
            message: condition.message,
        }),
        status::Report::Metric(metric) => sdk::Report::Metric {
            name: metric.name,
            labels: metric.labels,
            value: match metric.value {
                status::MetricValue::Add(value) => sdk::report::MetricValue::Add(value),
                status::MetricValue::Set(value) => sdk::report::MetricValue::Set(value),
            },
        },
        status::Report::Peer(report) => sdk::Report::Peer(peer(report)),
        status::Report::Event(event) => sdk::Report::Event(sdk::ServiceEvent {
            namespace: event.namespace,
            name: event.name,
            warning: event.warning,
            reason: event.reason,
            message: event.message,
        }),
        status::Report::Other(extension) => sdk::Report::Other(extension.name),
    }
}

fn peer(report: status::PeerReport) -> sdk::PeerReport {
    sdk::PeerReport {
        peer: report.peer,
        protocol: report.protocol,
        health: match report.health {
            status::PeerHealth::Starting => sdk::PeerHealth::Starting,
            status::PeerHealth::Up => sdk::PeerHealth::Up,
            status::PeerHealth::Degraded => sdk::PeerHealth::Degraded,
            status::PeerHealth::Down => sdk::PeerHealth::Down,
            status::PeerHealth::Disabled => sdk::PeerHealth::Disabled,
        },
        state: report.state,
        last_error: report.last_error,
        counters: report.counters,
        ext: report.ext,
    }
}

fn state(state: status::AnnouncementState) -> sdk::AnnouncementState {
    match state {
        status::AnnouncementState::Pending => sdk::AnnouncementState::Pending,
        status::AnnouncementState::Announced => sdk::AnnouncementState::Announced,
        status::AnnouncementState::Standby => sdk::AnnouncementState::Standby,
        status::AnnouncementState::Withdrawn => sdk::AnnouncementState::Withdrawn,
        status::AnnouncementState::Conflict => sdk::AnnouncementState::Conflict,
        status::AnnouncementState::Failed => sdk::AnnouncementState::Failed,
        status::AnnouncementState::Other(name) => sdk::AnnouncementState::Other(name),
    }
}
