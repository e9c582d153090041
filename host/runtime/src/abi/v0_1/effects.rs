//! What an announcer asks for, on its way out. What this host cannot carry out becomes
//! [`sdk::Effect::Unsupported`] with its name and subject, so that the guard denies it by name. WIT: `effects`.
use std::net::IpAddr;

use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types::{IpAddress, SocketAddress};
use super::announcer::outrigger::plugin::{effects as wit, network, status};
use super::words::each;

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
            wit::Effect::Close(close) => Self::Close(close.id),
            wit::Effect::Report(said) => Self::Report(report(said)),
            wit::Effect::Drained => Self::Drained,
            wit::Effect::Connect(connect) => unsupported("connect", socket(&connect.remote)),
            wit::Effect::Listen(listen) => unsupported(
                "listen",
                format!(
                    "{}/{} port {}",
                    ip(&listen.remote.address),
                    listen.remote.length,
                    listen.port
                ),
            ),
            wit::Effect::Write(bytes) => unsupported("write", bytes.id),
            wit::Effect::OpenSocket(open) => {
                unsupported("open-socket", format!("port {}", open.port))
            }
            wit::Effect::SendDatagram(sent) => unsupported("send-datagram", socket(&sent.remote)),
            wit::Effect::HttpRequest(request) => unsupported("http-request", request.url),
            wit::Effect::DnsRequest(request) => unsupported("dns-request", request.server),
            wit::Effect::Other(extension) => unsupported("other", extension.name),
        }
    }
}

fn unsupported(effect: &str, subject: impl ToString) -> sdk::Effect {
    sdk::Effect::Unsupported { effect: effect.into(), subject: subject.to_string() }
}

fn ip(address: &IpAddress) -> IpAddr {
    (*address).into()
}

fn socket(address: &SocketAddress) -> String {
    std::net::SocketAddr::new(ip(&address.address), address.port).to_string()
}

fn frame(frame: network::Frame) -> sdk::Frame {
    sdk::Frame { link: frame.link, data: frame.data }
}

/// Refused as a whole when one topic cannot be watched: half a watch would look like silence on the wire.
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
                return unsupported("offload", format!("beacon to {}", socket(&sent.remote)));
            }
            network::BeaconPayload::Other(extension) => {
                return unsupported("offload", format!("beacon {}", extension.name));
            }
        },
        network::OffloadWork::Keepalive(keepalive) => {
            return unsupported("offload", format!("keepalive on {}", keepalive.endpoint));
        }
        network::OffloadWork::Expect(expect) => {
            return unsupported("offload", format!("expect on {}", expect.endpoint));
        }
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
            value: match metric.value {
                status::MetricValue::Add(value) => sdk::report::MetricValue::Add(value),
                status::MetricValue::Set(value) => sdk::report::MetricValue::Set(value),
            },
        },
        status::Report::Peer(_) => sdk::Report::Other("peer".into()),
        status::Report::Event(_) => sdk::Report::Other("event".into()),
        status::Report::Other(extension) => sdk::Report::Other(extension.name),
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
