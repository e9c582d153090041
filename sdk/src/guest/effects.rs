//! World `announcer`, outgoing conversions: the reply, its effects and its reports.
use super::announcer::outrigger::plugin::{effects as wit, network, status};
use super::endpoints;
use super::service::wit_address;
use super::wit as words;
use crate::report::MetricValue;
use crate::{
    AnnouncementState, Beacon, Condition, DatagramBeacon, Effect, Frame, FrameWatch, Offload,
    OffloadWork, PeerHealth, PeerReport, Reply, Report, ServiceEvent, Topic, Wake,
};

pub fn reply(reply: Reply) -> wit::Reply {
    wit::Reply {
        effects: reply.effects.into_iter().map(effect).collect(),
        wake: match reply.wake {
            Wake::Never => wit::Wake::Never,
            Wake::After { ms, reason } => wit::Wake::After(wit::Timer { ms, reason }),
        },
    }
}

fn effect(effect: Effect) -> wit::Effect {
    match effect {
        Effect::WatchFrames(watch) => wit::Effect::WatchFrames(frame_watch(watch)),
        Effect::UnwatchFrames(watch) => wit::Effect::UnwatchFrames(frame_watch(watch)),
        Effect::SendFrame(frame) => wit::Effect::SendFrame(wit_frame(frame)),
        Effect::JoinGroup { link, group } => wit::Effect::JoinGroup(network::MulticastGroup {
            link,
            group: wit_address(group.into()),
        }),
        Effect::LeaveGroup { link, group } => wit::Effect::LeaveGroup(network::MulticastGroup {
            link,
            group: wit_address(group.into()),
        }),
        Effect::Offload(Offload { id, work }) => {
            wit::Effect::Offload(network::Offload { id, work: offload_work(work) })
        }
        Effect::Connect(connect) => wit::Effect::Connect(endpoints::connect(connect)),
        Effect::Listen(listen) => wit::Effect::Listen(endpoints::listen(listen)),
        Effect::Write(bytes) => wit::Effect::Write(endpoints::write(bytes)),
        Effect::OpenSocket(open) => wit::Effect::OpenSocket(endpoints::open_socket(open)),
        Effect::SendDatagram(sent) => wit::Effect::SendDatagram(endpoints::send_datagram(sent)),
        Effect::Close(id) => wit::Effect::Close(network::Close { id, abort: false }),
        Effect::Abort(id) => wit::Effect::Close(network::Close { id, abort: true }),
        Effect::Report(said) => report(said),
        Effect::Drained => wit::Effect::Drained,
        Effect::Unsupported { effect, subject } => other(effect, subject),
    }
}

/// Sends an effect by name, so that the host denies it by name.
fn other(name: String, subject: String) -> wit::Effect {
    wit::Effect::Other(words::Extension { name, value: subject.into_bytes() })
}

fn frame_watch(watch: FrameWatch) -> network::FrameWatch {
    let topics = watch.topics.into_iter().map(|topic| match topic {
        Topic::Arp(address) => network::FrameTopic::Arp(wit_address(address.into())),
        Topic::Ndp(address) => network::FrameTopic::Ndp(wit_address(address.into())),
    });
    network::FrameWatch { link: watch.link, topics: topics.collect() }
}

fn wit_frame(frame: Frame) -> network::Frame {
    network::Frame { link: frame.link, data: frame.data }
}

fn offload_work(work: OffloadWork) -> network::OffloadWork {
    match work {
        OffloadWork::AnswerNeighbor { link, address } => {
            network::OffloadWork::AnswerNeighbor(network::AnswerNeighbor {
                link,
                address: wit_address(address),
            })
        }
        OffloadWork::Beacon(Beacon { frame, interval_us, jitter_percent, count }) => {
            network::OffloadWork::Beacon(network::Beacon {
                payload: network::BeaconPayload::Frame(wit_frame(frame)),
                interval_us,
                jitter_percent,
                count,
            })
        }
        OffloadWork::DatagramBeacon(DatagramBeacon {
            datagram,
            interval_us,
            jitter_percent,
            count,
        }) => network::OffloadWork::Beacon(network::Beacon {
            payload: network::BeaconPayload::Datagram(endpoints::send_datagram(datagram)),
            interval_us,
            jitter_percent,
            count,
        }),
        OffloadWork::Keepalive { endpoint, data, interval_ms } => {
            network::OffloadWork::Keepalive(network::Keepalive { endpoint, data, interval_ms })
        }
        OffloadWork::Expect { endpoint, remote, within_us, then_close } => {
            network::OffloadWork::Expect(network::Expect {
                endpoint,
                remote: wit_address(remote),
                within_us,
                then_close,
            })
        }
    }
}

fn report(report: Report) -> wit::Effect {
    wit::Effect::Report(match report {
        Report::Address(said) => status::Report::Address(status::AddressReport {
            address: wit_address(said.address),
            state: announcement_state(said.state),
            via: said.via,
            reason: said.reason,
            message: said.message,
        }),
        Report::Condition(Condition { kind, status, reason, message }) => {
            let status = match status {
                Some(true) => status::ConditionStatus::Yes,
                Some(false) => status::ConditionStatus::No,
                None => status::ConditionStatus::Unknown,
            };
            status::Report::Condition(status::Condition { kind, status, reason, message })
        }
        Report::Event(ServiceEvent { namespace, name, warning, reason, message }) => {
            let event = status::ServiceEvent { namespace, name, warning, reason, message };
            status::Report::Event(event)
        }
        Report::Peer(said) => status::Report::Peer(peer(said)),
        Report::Metric { name, labels, value } => status::Report::Metric(status::Metric {
            name,
            labels,
            value: match value {
                MetricValue::Add(by) => status::MetricValue::Add(by),
                MetricValue::Set(to) => status::MetricValue::Set(to),
            },
        }),
        Report::Other(name) => status::Report::Other(words::Extension { name, value: Vec::new() }),
    })
}

fn peer(said: PeerReport) -> status::PeerReport {
    status::PeerReport {
        peer: said.peer,
        protocol: said.protocol,
        health: match said.health {
            PeerHealth::Starting => status::PeerHealth::Starting,
            PeerHealth::Up => status::PeerHealth::Up,
            PeerHealth::Degraded => status::PeerHealth::Degraded,
            PeerHealth::Down => status::PeerHealth::Down,
            PeerHealth::Disabled => status::PeerHealth::Disabled,
        },
        state: said.state,
        last_error: said.last_error,
        counters: said.counters,
        ext: said.ext,
    }
}

fn announcement_state(state: AnnouncementState) -> status::AnnouncementState {
    match state {
        AnnouncementState::Pending => status::AnnouncementState::Pending,
        AnnouncementState::Announced => status::AnnouncementState::Announced,
        AnnouncementState::Standby => status::AnnouncementState::Standby,
        AnnouncementState::Withdrawn => status::AnnouncementState::Withdrawn,
        AnnouncementState::Conflict => status::AnnouncementState::Conflict,
        AnnouncementState::Failed => status::AnnouncementState::Failed,
        AnnouncementState::Other(word) => status::AnnouncementState::Other(word),
    }
}
