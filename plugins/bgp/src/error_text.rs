//! The host's reasons for failed or closed streams, in the terms of a network engineer.
use outrigger_sdk::CloseReason;

use crate::settings::PeerSettings;

/// Describes why a connection attempt failed, with the likely cause.
pub(crate) fn not_connected(reason: &CloseReason, terms: &PeerSettings) -> String {
    match reason {
        CloseReason::Refused => {
            format!("connection refused: no process listens on port {} of the peer", terms.port)
        }
        CloseReason::TimedOut if terms.md5.is_some() => {
            "no answer to the TCP SYN: the peer is down, or its TCP MD5 password is different"
                .to_owned()
        }
        CloseReason::TimedOut => "no answer to the TCP SYN".to_owned(),
        CloseReason::Reset | CloseReason::Remote => "peer closed the connection at once".to_owned(),
        CloseReason::Unreachable(words) => format!("no route to peer: {words}"),
        CloseReason::Denied(reason) => format!("not allowed: {}", denied(reason)),
        CloseReason::Unsupported(words) => format!("not supported on this node: {words}"),
        CloseReason::Local => "the connection attempt was aborted".to_owned(),
        CloseReason::Overrun => "more data was written than the connection accepts".to_owned(),
        CloseReason::Other(words) => format!("no connection: {words}"),
    }
}

/// Describes why a BFD socket is gone or could not be opened.
pub(crate) fn no_socket(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Denied(reason) => format!("not allowed: {}", denied(reason)),
        CloseReason::Unsupported(words) => format!("not supported on this node: {words}"),
        CloseReason::Unreachable(words) | CloseReason::Other(words) => words.clone(),
        // None of these applies to a socket without a remote end.
        other => format!("{other:?}"),
    }
}

/// Describes why a listener is not open.
pub(crate) fn not_listening(reason: &CloseReason, port: u16) -> String {
    match reason {
        CloseReason::Denied(reason) => format!("not allowed to listen: {}", denied(reason)),
        CloseReason::Unsupported(words) => {
            format!("this node cannot listen with these options: {words}")
        }
        CloseReason::Other(words) | CloseReason::Unreachable(words) => {
            format!("cannot listen on port {port}: {words}")
        }
        other => format!("cannot listen on port {port}: {other:?}"),
    }
}

/// Describes the guard's named reasons, each with its remedy.
pub(crate) fn denied(reason: &str) -> String {
    let mend = match reason {
        "peer-not-granted" => "name the peer in the Announcer's allow.peers",
        "secret-not-granted" => "name the Secret in the Announcer's secretRefs, for this peer",
        "capability-not-allowed" => {
            "ask for a shorter gracefulRestart.restartTime, or raise the Announcer's allow.restartTime"
        }
        "link-not-granted" => "name the link in the Announcer's interfaces",
        _ => return reason.to_owned(),
    };
    format!("{reason}: {mend}")
}
