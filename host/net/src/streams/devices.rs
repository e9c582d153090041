//! Devices that sockets are bound to. When one is removed, its sockets stay with what is no more, even if there is another of
//! its name by now, and the kernel says nothing: so it is looked for, while any are bound.
use outrigger_sdk::{CloseReason, LinkIndex};

use super::state::{Id, State, Timer};
use crate::sys::sockets;

/// How often.
const LOOK_US: u64 = 2_000_000;

/// The device of a socket.
pub(super) struct Bound {
    name: String,
    index: Option<LinkIndex>,
}

impl Bound {
    pub(super) fn to(name: &str) -> Self {
        Self { name: name.to_owned(), index: sockets::link_index(name) }
    }

    fn is_gone(&self) -> bool {
        sockets::link_index(&self.name) != self.index
    }
}

impl State {
    /// Ends what hears nothing any more. Streams end by themselves.
    pub(super) fn look_at_devices(&mut self, now: u64) {
        let gone = |device: &Option<Bound>| device.as_ref().is_some_and(Bound::is_gone);
        let ports: Vec<_> = self.ports.iter().filter(|(_, it)| gone(&it.device)).collect();
        let channels: Vec<_> = self.channels.iter().filter(|(_, it)| gone(&it.device)).collect();
        let of_port = |port| ports.iter().any(|(key, _)| *key == port);
        let of_channel = |channel| channels.iter().any(|(key, _)| *key == channel);
        let listeners = self.listeners.iter().filter(|(_, it)| of_port(&it.port));
        let listeners: Vec<Id> = listeners.map(|(id, _)| *id).collect();
        let others = self.sockets.iter().filter(|(_, it)| of_channel(&it.channel));
        let others: Vec<Id> = others.map(|(id, _)| *id).collect();
        for id in listeners {
            self.close_listener(id);
            self.closed(id, removed());
        }
        for id in others {
            self.ended_with(id);
            self.close_socket(id);
            self.closed(id, removed());
        }
        self.look_again(now);
    }

    /// Sees to it that it is looked, if there is anything to look at.
    pub(super) fn look_again(&mut self, now: u64) {
        self.timers.retain(|(_, timer)| *timer != Timer::Devices);
        let mut devices = self.ports.values().map(|it| &it.device);
        if devices.any(Option::is_some) || self.channels.values().any(|it| it.device.is_some()) {
            self.timers.insert((now + LOOK_US, Timer::Devices));
        }
    }
}

fn removed() -> CloseReason {
    CloseReason::Unreachable("its device was removed".to_owned())
}
