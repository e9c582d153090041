//! Carries out effects on streams and sockets. The guard has already granted them.
use outrigger_core::guard::Granted;
use outrigger_net::{EndpointError, Keys};
use outrigger_sdk::{Effect, Endpoint, SocketOption};

use super::Worker;
use super::effects::{KeysOf, failed};
use crate::mailbox::Inner;

impl Worker {
    /// Returns the keys that a socket is to be signed with.
    pub(super) fn keys(&self, effect: &Effect) -> Keys {
        let options = match effect {
            Effect::Connect(connect) => &connect.options,
            Effect::Listen(listen) => &listen.options,
            _ => return Keys::default(),
        };
        let secret = options.iter().rev().find_map(|option| match option {
            SocketOption::TcpMd5(secret) => Some(secret),
            _ => None,
        });
        let named = secret.and_then(|secret| {
            let name = self.mailbox.lock().secrets.get(&secret.name).cloned()?;
            self.ports.secret_store.key(&name, &secret.key)
        });
        Keys { md5: named }
    }

    pub(super) fn act_on_endpoint(&self, inner: &mut Inner, granted: Granted, keys: &KeysOf) {
        let (streams, owner) = (&self.ports.streams, self.owner);
        let opens = match &granted {
            Granted::Connect(connect) => Some(connect.id),
            Granted::Listen(listen) => Some(listen.id),
            Granted::OpenSocket(open) => Some(open.id),
            _ => None,
        };
        let offloads = match &granted {
            Granted::Work { id, .. } => Some(*id),
            _ => None,
        };
        let mut deny = |effect: &str, subject: String, done: Result<(), EndpointError>| {
            if let (Some(id), Err(_)) = (opens, &done) {
                inner.guard.not_opened(id);
            }
            offloads.into_iter().for_each(|id| inner.offloaded(id, &done));
            failed(inner, effect, subject, done);
        };
        let keys = |id| keys.get(&id).cloned().unwrap_or_default();
        match granted {
            Granted::Connect(connect) => {
                let (subject, keys) = (connect.remote.to_string(), keys(connect.id));
                deny("connect", subject, streams.connect(owner, connect, &keys));
            }
            Granted::Listen(listen) => {
                let (subject, keys) = (listen.remote.to_string(), keys(listen.id));
                deny("listen", subject, streams.listen(owner, listen, &keys));
            }
            Granted::OpenSocket(open) => {
                deny("open-socket", open.id.to_string(), streams.open_socket(owner, open));
            }
            Granted::Write(bytes) => {
                let done = streams.write(owner, bytes.id, &bytes.data);
                deny("write", bytes.id.to_string(), done);
            }
            Granted::Hold(id, until_us) => streams.hold(owner, id, until_us),
            Granted::Datagram(sent) => {
                let done = streams.send_datagram(owner, &sent);
                deny("send-datagram", sent.remote.to_string(), done);
            }
            Granted::Work { id, work } => {
                deny("offload", id.to_string(), streams.offload(owner, id, work));
            }
            _ => {}
        }
    }
}

/// Returns the number of the endpoint that an effect opens. `None` if it opens none.
pub(super) fn opens(effect: &Effect) -> Option<Endpoint> {
    match effect {
        Effect::Connect(connect) => Some(connect.id),
        Effect::Listen(listen) => Some(listen.id),
        Effect::OpenSocket(open) => Some(open.id),
        _ => None,
    }
}
