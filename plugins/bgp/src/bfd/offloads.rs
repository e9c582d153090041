//! The sockets and offloads of a session: two sockets, one beacon, one Detection Time. Only differences are sent to the
//! host. Independent of the state machine.
use std::net::SocketAddr;

use outrigger_sdk::wire::bfd::{ControlPacket, LENGTH};
use outrigger_sdk::{
    DatagramBeacon, Effect, Endpoint, IpNet, Offload, OffloadWork, OpenSocket, Protocol, Resumed,
    SendDatagram, SocketOption,
};
use serde::{Deserialize, Serialize};

use super::{BfdMode, FIRST_SOURCE_PORT, MULTIHOP_PORT, Numbers, SINGLE_HOP_PORT, Settings};

/// Class selector CS6, for network control traffic (RFC 4594 section 3.2).
const CS6: u8 = 48;

/// The sockets and offloads that are active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offloads {
    numbers: Numbers,
    /// True if both sockets were requested and neither was refused.
    open: bool,
    /// Packet and interval of the active beacon.
    sending: Option<([u8; LENGTH], u32)>,
    /// The active Detection Time.
    detecting: Option<u32>,
}

impl Offloads {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self { numbers, open: false, sending: None, detecting: None }
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// Opens both sockets: one that sends, from a port of its own, and one that receives (RFC 5881 section 4).
    pub(super) fn open(&mut self, settings: &Settings, effects: &mut Vec<Effect>) {
        if self.open {
            return;
        }
        self.open = true;
        effects.push(transmitter(self.numbers.transmit, settings));
        effects.push(receiver(self.numbers.receive, settings));
    }

    /// Ends the offloads and closes the sockets.
    pub(super) fn close(&mut self, effects: &mut Vec<Effect>) {
        self.stop_sending(effects);
        self.stop_detecting(effects);
        if std::mem::take(&mut self.open) {
            effects.push(Effect::Close(self.numbers.transmit));
            effects.push(Effect::Close(self.numbers.receive));
        }
    }

    /// Handles a socket that the host closed. The other socket is of no use and is closed as well.
    pub(super) fn closed(&mut self, number: Endpoint, effects: &mut Vec<Effect>) {
        self.stop_sending(effects);
        self.stop_detecting(effects);
        if std::mem::take(&mut self.open) {
            let Numbers { transmit, receive, .. } = self.numbers;
            effects.push(Effect::Close(if number == transmit { receive } else { transmit }));
        }
    }

    /// Notes that the Detection Time has expired.
    pub(super) fn expired(&mut self) {
        self.detecting = None;
    }

    /// Notes that the host has ended an offload.
    pub(super) fn ended(&mut self, number: Endpoint) {
        if number == self.numbers.beacon {
            self.sending = None;
        }
        if number == self.numbers.expect {
            self.detecting = None;
        }
    }

    /// Forgets the offloads that the host does not list, and reopens the sockets that it has closed.
    pub(super) fn resumed(
        &mut self,
        resumed: &Resumed,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let is_open = |number| resumed.open.iter().any(|it| it.opened.id == number);
        for number in [self.numbers.beacon, self.numbers.expect] {
            if !resumed.offloads.contains(&number) {
                self.ended(number);
            }
        }
        let sockets = [self.numbers.transmit, self.numbers.receive];
        if self.open && !sockets.into_iter().all(is_open) {
            effects.extend(sockets.into_iter().filter(|it| is_open(*it)).map(Effect::Close));
            self.stop_sending(effects);
            self.stop_detecting(effects);
            self.open = false;
            self.open(settings, effects);
        }
    }

    /// Makes the beacon send this packet at this interval, or ends it.
    pub(super) fn send(
        &mut self,
        settings: &Settings,
        packet: &ControlPacket,
        interval_us: Option<u32>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(interval_us) = interval_us.filter(|_| self.open) else {
            return self.stop_sending(effects);
        };
        let sending = Some((packet.encode(), interval_us));
        if self.sending == sending {
            return;
        }
        self.sending = sending;
        // RFC 5880 section 6.8.7: 75 to 100 % of the interval, and at most 90 % if one lost packet is a failure. The
        // host applies its jitter to the interval it is given: 16 % less than nine tenths leaves a little more than
        // three quarters.
        let alone = packet.detect_mult == 1;
        let interval_us = if alone { interval_us / 10 * 9 } else { interval_us };
        effects.push(Effect::Offload(Offload {
            id: self.numbers.beacon,
            work: OffloadWork::DatagramBeacon(DatagramBeacon {
                datagram: self.datagram(settings, packet),
                interval_us: interval_us.max(1),
                jitter_percent: if alone { 16 } else { 25 },
                count: 0,
            }),
        }));
    }

    /// Sends one packet in addition to the beacon.
    pub(super) fn once(&self, settings: &Settings, packet: &ControlPacket) -> Effect {
        Effect::SendDatagram(self.datagram(settings, packet))
    }

    /// Makes the host expect a packet within this time, or ends that.
    pub(super) fn detect(
        &mut self,
        settings: &Settings,
        within_us: Option<u32>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(within_us) = within_us.filter(|_| self.open) else {
            return self.stop_detecting(effects);
        };
        if self.detecting == Some(within_us) {
            return;
        }
        self.detecting = Some(within_us);
        effects.push(Effect::Offload(Offload {
            id: self.numbers.expect,
            work: OffloadWork::Expect {
                endpoint: self.numbers.receive,
                remote: settings.peer.ip(),
                within_us: within_us.max(1),
                then_close: false,
            },
        }));
    }

    fn stop_sending(&mut self, effects: &mut Vec<Effect>) {
        if self.sending.take().is_some() {
            effects.push(Effect::Close(self.numbers.beacon));
        }
    }

    fn stop_detecting(&mut self, effects: &mut Vec<Effect>) {
        if self.detecting.take().is_some() {
            effects.push(Effect::Close(self.numbers.expect));
        }
    }

    fn datagram(&self, settings: &Settings, packet: &ControlPacket) -> SendDatagram {
        let mut remote = settings.peer;
        remote.set_port(port(settings.reach));
        SendDatagram { socket: self.numbers.transmit, remote, data: packet.encode().to_vec() }
    }
}

fn port(reach: BfdMode) -> u16 {
    match reach {
        BfdMode::SingleHop => SINGLE_HOP_PORT,
        BfdMode::Multihop { .. } => MULTIHOP_PORT,
    }
}

fn transmitter(id: Endpoint, settings: &Settings) -> Effect {
    // The port differs from those of other sessions as long as their numbers are less than 16383 apart, and stays the
    // same for the lifetime of this session.
    let offset = u16::try_from(id % u32::from(u16::MAX - FIRST_SOURCE_PORT)).unwrap_or(0);
    let source_port = FIRST_SOURCE_PORT + offset;
    let mut options = vec![SocketOption::HopLimit(u8::MAX), SocketOption::Dscp(CS6)];
    if let Some(source) = settings.source {
        options.push(SocketOption::Source(SocketAddr::new(source, source_port)));
    }
    open(id, source_port, settings, options)
}

fn receiver(id: Endpoint, settings: &Settings) -> Effect {
    let least = match settings.reach {
        BfdMode::SingleHop => u8::MAX,
        BfdMode::Multihop { minimum_ttl } => minimum_ttl,
    };
    open(id, port(settings.reach), settings, vec![SocketOption::MinHopLimit(least)])
}

fn open(id: Endpoint, port: u16, settings: &Settings, mut options: Vec<SocketOption>) -> Effect {
    options.extend(settings.device.clone().map(SocketOption::Device));
    let peer: IpNet = settings.peer.ip().into();
    Effect::OpenSocket(OpenSocket {
        id,
        port,
        remotes: vec![peer],
        protocol: Protocol::Bfd,
        options,
    })
}
