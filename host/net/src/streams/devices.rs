//! Devices that sockets are bound to. When a device is removed, its sockets stay bound to the removed device, even if
//! another of the same name exists by now, and the kernel reports nothing. The devices are therefore polled while any
//! socket is bound to one.
use outrigger_sdk::{CloseReason, LinkIndex};

use super::state::{Id, State, Timer};
use crate::sys::sockets;

/// Polling interval, in microseconds.
const LOOK_US: u64 = 2_000_000;

/// The device that a socket is bound to.
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
    /// Closes listeners and datagram sockets whose device was removed, because they receive nothing any more. Streams
    /// end by themselves.
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

    /// Schedules the next poll of the devices, if any socket is bound to one.
    pub(super) fn look_again(&mut self, now: u64) {
        self.timers.retain(|(_, timer)| *timer != Timer::Devices);
        let mut devices = self.ports.values().map(|it| &it.device);
        if devices.any(Option::is_some) || self.channels.values().any(|it| it.device.is_some()) {
            self.timers.insert((now + LOOK_US, Timer::Devices));
        }
    }
}

fn removed() -> CloseReason {
    CloseReason::Unreachable("the device was removed".to_owned())
}
