//! The host's reasons for failed or closed streams, in the terms of a network engineer.
use outrigger_sdk::CloseReason;

use crate::settings::PeerSettings;

/// Describes why a connection attempt failed, with the likely cause.
pub(crate) fn not_connected(reason: &CloseReason, terms: &PeerSettings) -> String {
    match reason {
        CloseReason::Refused => {
            format!("connection refused: nobody listens on port {} there", terms.port)
        }
        CloseReason::TimedOut if terms.md5.is_some() => {
            "no answer to our SYN: peer is not there, or its TCP MD5 password is another".to_owned()
        }
        CloseReason::TimedOut => "no answer to our SYN".to_owned(),
        CloseReason::Reset | CloseReason::Remote => "peer closed the connection at once".to_owned(),
        CloseReason::Unreachable(words) => format!("no route to peer: {words}"),
        CloseReason::Denied(reason) => format!("not allowed: {}", denied(reason)),
        CloseReason::Unsupported(words) => format!("this node cannot do it: {words}"),
        CloseReason::Local => "the connection was given up".to_owned(),
        CloseReason::Overrun => "more was written than the connection takes".to_owned(),
        CloseReason::Other(words) => format!("no connection: {words}"),
    }
}

/// Describes why a BFD socket is gone or could not be opened.
pub(crate) fn no_socket(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Denied(reason) => format!("not allowed: {}", denied(reason)),
        CloseReason::Unsupported(words) => format!("this node cannot do it: {words}"),
        CloseReason::Unreachable(words) | CloseReason::Other(words) => words.clone(),
        // None of these applies to a socket without a remote end.
        other => format!("{other:?}"),
    }
}

/// Describes why a listener is not open.
pub(crate) fn not_listening(reason: &CloseReason, port: u16) -> String {
    match reason {
        CloseReason::Denied(reason) => format!("may not listen: {}", denied(reason)),
        CloseReason::Unsupported(words) => format!("this node cannot listen so: {words}"),
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
