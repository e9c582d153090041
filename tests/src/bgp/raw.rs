//! Scripted peer that a test controls octet by octet (RFC 4271 section 4), without the product's codec or a state machine.
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::namespace::Namespace;
use crate::{clock, wait};

/// OPEN.
pub const OPEN: u8 = 1;
/// UPDATE.
pub const UPDATE: u8 = 2;
/// NOTIFICATION.
pub const NOTIFICATION: u8 = 3;
/// KEEPALIVE.
pub const KEEPALIVE: u8 = 4;
/// ROUTE-REFRESH (RFC 2918).
pub const ROUTE_REFRESH: u8 = 5;

/// Message: its type, and the octets after the header.
pub type Message = (u8, Vec<u8>);

/// Listener that waits for the product to connect.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Opens port 179 of an address.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn open(namespace: &Namespace, address: IpAddr) -> Result<Self> {
        let listener = namespace.inside(|| {
            TcpListener::bind(SocketAddr::from((address, 179)))
                .context("port 179 is already in use")
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Limits the receive buffer of future connections to a small size.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn narrow(&self) -> Result<()> {
        setsockopt(&self.0, RcvBuf, &4096).context("cannot set the receive buffer of a socket")
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn accept(&self, limit: Duration) -> Result<Peer> {
        let stream = wait::until("a connection arrives", limit, || match self.0.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        stream.set_nonblocking(false)?;
        Ok(Peer { stream, read: Vec::new() })
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    /// Connects, with TTL 1 as external peers do.
    ///
    /// # Errors
    /// When no connection can be made.
    pub fn dial(namespace: &Namespace, to: IpAddr) -> Result<Self> {
        let limit = Duration::from_secs(2);
        let stream = namespace.inside(|| {
            TcpStream::connect_timeout(&SocketAddr::from((to, 179)), limit)
                .with_context(|| format!("{to} does not answer"))
        })?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Uses a connection that was accepted elsewhere.
    ///
    /// # Errors
    /// When it is closed already.
    pub fn on(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Returns the next message if there is one in this time: `None` if not, `Some(None)` if the other end closed.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn receive_if(&mut self, limit: Duration) -> Result<Option<Option<Message>>> {
        if let Some(message) = self.take() {
            return Ok(Some(Some(message)));
        }
        self.stream.set_read_timeout(Some(limit))?;
        let mut part = [0; 1 << 16];
        match self.stream.read(&mut part) {
            Ok(0) => Ok(Some(None)),
            Ok(size) => {
                self.read.extend_from_slice(&part[..size]);
                Ok(self.take().map(Some))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error).context("cannot read"),
        }
    }

    /// Sends octets unchanged.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.write_all(octets).context("the connection is gone")
    }

    /// Writes with a timeout, for a peer that floods: `None` if the other end accepts nothing more for this time.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_within(&mut self, octets: &[u8], limit: Duration) -> Result<Option<()>> {
        self.stream.set_write_timeout(Some(limit))?;
        match self.stream.write_all(octets) {
            Ok(()) => Ok(Some(())),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error).context("the connection is gone"),
        }
    }

    /// Returns the next message; `None` if the other end closed.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn receive(&mut self, limit: Duration) -> Result<Option<Message>> {
        let start = clock::now();
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            let left = limit.saturating_sub(clock::since(start));
            ensure!(!left.is_zero(), "no message within {limit:?}");
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut part = [0; 1 << 16];
            match self.stream.read(&mut part) {
                Ok(0) => return Ok(None),
                Ok(size) => self.read.extend_from_slice(&part[..size]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // A reset counts as a close.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error).context("cannot read"),
            }
        }
    }

    /// Skips messages until one of this type, and returns its body; `None` if the other end closed before.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn receive_type(&mut self, wanted: u8, limit: Duration) -> Result<Option<Vec<u8>>> {
        let start = clock::now();
        loop {
            match self.receive(limit.saturating_sub(clock::since(start)))? {
                Some((kind, body)) if kind == wanted => return Ok(Some(body)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Exchanges both OPENs and both KEEPALIVEs.
    ///
    /// # Errors
    /// When the other end closes, with its last message.
    pub fn establish(&mut self, open: &[u8], limit: Duration) -> Result<()> {
        self.send(open)?;
        self.send(&message(KEEPALIVE, &[]))?;
        loop {
            match self.receive(limit)? {
                Some((KEEPALIVE, _)) => return Ok(()),
                Some((NOTIFICATION, body)) => bail!("the other end sent a NOTIFICATION: {body:?}"),
                Some(_) => {}
                None => bail!("the other end closed the connection"),
            }
        }
    }

    fn take(&mut self) -> Option<Message> {
        let length = self.read.get(16..18)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 19 || self.read.len() < length {
            return None;
        }
        let whole: Vec<u8> = self.read.drain(..length).collect();
        Some((whole[18], whole[19..].to_vec()))
    }
}

/// Returns a message of this type.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("a test's message is short");
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// Returns an OPEN with these capabilities, each code and value.
pub fn open(asn: u16, hold: u16, router_id: [u8; 4], capabilities: &[(u8, &[u8])]) -> Vec<u8> {
    let octet = |length: usize| u8::try_from(length).expect("a test's OPEN is short");
    let list: Vec<u8> = capabilities
        .iter()
        .flat_map(|(code, value)| [&[*code, octet(value.len())], *value].concat())
        .collect();
    let parameters =
        if list.is_empty() { vec![] } else { [&[2, octet(list.len())], &list[..]].concat() };
    let mut body = vec![4];
    body.extend(asn.to_be_bytes());
    body.extend(hold.to_be_bytes());
    body.extend(router_id);
    body.push(octet(parameters.len()));
    body.extend(parameters);
    message(OPEN, &body)
}
