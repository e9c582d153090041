//! Names an effect and its subject in the terms of the WIT, for the report that it was refused.
use outrigger_sdk::{Effect, Frame, FrameWatch, Offload, OffloadWork, Report};

/// Returns an effect's WIT case and its subject, for `denied` and for the log.
pub(super) fn describe(effect: &Effect) -> (&'static str, String) {
    match effect {
        Effect::WatchFrames(watch) => ("watch-frames", topics(watch)),
        Effect::UnwatchFrames(watch) => ("unwatch-frames", topics(watch)),
        Effect::SendFrame(frame) => ("send-frame", about(frame)),
        Effect::JoinGroup { group, .. } => ("join-group", group.to_string()),
        Effect::LeaveGroup { group, .. } => ("leave-group", group.to_string()),
        Effect::Offload(Offload { work: OffloadWork::AnswerNeighbor { address, .. }, .. }) => {
            ("offload", address.to_string())
        }
        Effect::Offload(Offload { work: OffloadWork::Beacon(beacon), .. }) => {
            ("offload", about(&beacon.frame))
        }
        Effect::Offload(Offload { work, .. }) => ("offload", endpoint(work)),
        Effect::Connect(connect) => ("connect", connect.remote.to_string()),
        Effect::Listen(listen) => ("listen", listen.remote.to_string()),
        Effect::Write(bytes) => ("write", bytes.id.to_string()),
        Effect::OpenSocket(open) => ("open-socket", open.id.to_string()),
        Effect::SendDatagram(sent) => ("send-datagram", sent.remote.to_string()),
        Effect::Close(id) | Effect::Abort(id) => ("close", id.to_string()),
        Effect::Report(Report::Address(report)) => ("report", report.address.to_string()),
        Effect::Report(_) => ("report", String::new()),
        Effect::Drained => ("drained", String::new()),
        Effect::Unsupported { subject, .. } => ("unsupported", subject.clone()),
    }
}

fn endpoint(work: &OffloadWork) -> String {
    match work {
        OffloadWork::DatagramBeacon(beacon) => beacon.datagram.remote.to_string(),
        OffloadWork::Keepalive { endpoint, .. } | OffloadWork::Expect { endpoint, .. } => {
            endpoint.to_string()
        }
        OffloadWork::AnswerNeighbor { .. } | OffloadWork::Beacon(_) => String::new(),
    }
}

fn topics(watch: &FrameWatch) -> String {
    watch.topics.first().map(|topic| topic.address().to_string()).unwrap_or_default()
}

fn about(frame: &Frame) -> String {
    match outrigger_wire::decode(&frame.data) {
        Ok(decoded) => decoded.message.address().to_string(),
        Err(_) => format!("link {}", frame.link),
    }
}
