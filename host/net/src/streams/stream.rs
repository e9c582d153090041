//! One TCP stream: its octets in both directions, its credit, and the ends of BGP messages. Knows no owner and no
//! plugin.
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use outrigger_sdk::wire::bgp::{HEADER, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, frame};
use outrigger_sdk::{CloseReason, Endpoint, Opened, Protocol};
use socket2::Socket;

use crate::sys::Poller;

/// Number of bytes that may wait to be sent.
pub(super) const WINDOW: u32 = 256 * 1024;
/// Smallest amount of credit given back, so that not every segment causes an event.
const PORTION: u32 = WINDOW / 4;
/// Bytes that a NOTIFICATION may exceed the credit by: it is the last message of a stream.
const LAST_WORDS: usize = 4096;
/// Number of bytes read at once.
const GULP: usize = 64 * 1024;
/// Type code of NOTIFICATION (RFC 4271 section 4.1).
const NOTIFICATION: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
}

/// The result of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// There is nothing more to read now.
    Waits,
    /// There may be more to read.
    More,
    /// The stream is over.
    Over(CloseReason),
}

pub(super) struct Stream {
    pub(super) socket: Socket,
    pub(super) key: u64,
    pub(super) phase: Phase,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// True if RFC 8654 was negotiated.
    pub(super) extended: bool,
    /// True if the owner has no room, so that nothing is read.
    pub(super) paused: bool,
    pub(super) heard_us: u64,
    pub(super) wrote_us: u64,
    is_bgp: bool,
    incoming: Vec<u8>,
    /// True after a header could not be framed: nothing after it has a meaning.
    lost: bool,
    outgoing: VecDeque<u8>,
    /// Number of bytes of `outgoing` that the plugin did not write and that give no credit back.
    on_behalf: usize,
    credit: u32,
    owed: u32,
    /// No credit is given back before this time, in monotonic microseconds.
    pub(super) held_until_us: u64,
    registered: bool,
}

impl Stream {
    pub(super) fn new(
        socket: Socket,
        key: u64,
        protocol: &Protocol,
        (local, remote): (SocketAddr, SocketAddr),
        now: u64,
    ) -> Self {
        Self {
            socket,
            key,
            phase: Phase::Connecting,
            local,
            remote,
            extended: false,
            paused: false,
            heard_us: now,
            wrote_us: now,
            is_bgp: *protocol == Protocol::Bgp,
            incoming: Vec::new(),
            lost: false,
            outgoing: VecDeque::new(),
            on_behalf: 0,
            credit: WINDOW,
            owed: 0,
            held_until_us: 0,
            registered: false,
        }
    }

    pub(super) fn opened(&self, id: Endpoint) -> Opened {
        Opened { id, local: self.local, remote: self.remote, credit: self.credit }
    }

    /// Queues data to send. An error ends the stream.
    pub(super) fn write(&mut self, data: &[u8], now: u64) -> Result<(), CloseReason> {
        let last = self.is_bgp && data.get(HEADER - 1) == Some(&NOTIFICATION);
        let reserve = if last { LAST_WORDS } else { 0 };
        if data.len() > self.credit as usize + reserve {
            return Err(CloseReason::Overrun);
        }
        let counted = data.len().min(self.credit as usize);
        self.credit -= counted as u32;
        self.on_behalf += data.len() - counted;
        self.outgoing.extend(data);
        self.wrote_us = now;
        self.flush()
    }

    /// Queues a message that the plugin has not written, at no cost of credit.
    pub(super) fn write_on_behalf(&mut self, data: &[u8], now: u64) -> Result<(), CloseReason> {
        self.wrote_us = now;
        self.outgoing.extend(data);
        self.on_behalf += data.len();
        self.flush()
    }

    pub(super) fn flush(&mut self) -> Result<(), CloseReason> {
        while self.phase == Phase::Open && !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            match (&self.socket).write(front) {
                Ok(sent) => {
                    self.outgoing.drain(..sent);
                    let on_behalf = self.on_behalf.min(sent);
                    self.on_behalf -= on_behalf;
                    self.owed += (sent - on_behalf) as u32;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(super::options::reason(&error)),
            }
        }
        Ok(())
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Returns the credit to give back. `None` if it is too little to be worth an event, or is held back.
    pub(super) fn take_credit(&mut self, now: u64) -> Option<u32> {
        if self.owed < PORTION || now < self.held_until_us {
            return None;
        }
        let owed = std::mem::take(&mut self.owed);
        self.credit += owed;
        Some(owed)
    }

    /// Reads once and passes on complete messages, or all data if the stream has no messages.
    pub(super) fn read(&mut self, now: u64, mut hand_over: impl FnMut(Vec<u8>)) -> ReadEnd {
        let mut gulp = [0; GULP];
        let count = match (&self.socket).read(&mut gulp) {
            Ok(0) => return ReadEnd::Over(CloseReason::Remote),
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => ReadEnd::Waits,
                    _ => ReadEnd::Over(super::options::reason(&error)),
                };
            }
        };
        self.heard_us = now;
        if self.lost {
            return ReadEnd::More;
        }
        if !self.is_bgp {
            hand_over(gulp[..count].to_vec());
            return ReadEnd::More;
        }
        self.incoming.extend_from_slice(&gulp[..count]);
        let mut done = 0;
        while let Some(length) = self.next_message(done) {
            hand_over(self.incoming[done..done + length].to_vec());
            done += length;
            if self.lost {
                self.incoming.clear();
                return ReadEnd::More;
            }
        }
        self.incoming.drain(..done);
        ReadEnd::More
    }

    /// Returns the length of the message at `from`. `None` if it is not complete. A header that cannot be framed counts
    /// as a message.
    fn next_message(&mut self, from: usize) -> Option<usize> {
        let rest = &self.incoming[from..];
        let limit = if self.extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE };
        match frame(rest, limit) {
            Ok(Some((_, length))) if rest.len() >= length => Some(length),
            Ok(_) => None,
            Err(_) => {
                self.lost = true;
                Some(HEADER)
            }
        }
    }

    /// Updates the events that the poller reports for this stream.
    pub(super) fn watch(&mut self, poller: &Poller) {
        let wanted = match self.phase {
            Phase::Connecting => (false, true),
            Phase::Open => (!self.paused, self.has_unsent()),
        };
        let done = poller.change(self.socket.as_fd(), self.key, self.registered, wanted);
        if done.is_ok() {
            self.registered = wanted.0 || wanted.1;
        }
    }
}
