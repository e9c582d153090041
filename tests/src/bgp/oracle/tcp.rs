//! Wire to a real speaker: TCP port 179 from this thread's namespace, which must be entered first.
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Received, Wire};
use crate::clock;

/// Longest delay of a speaker after a session ended with an error; all tested speakers are configured with a short one.
const REST: Duration = Duration::from_secs(30);

/// Query for the route of a speaker.
type Route<'a> = Box<dyn FnMut() -> Result<Option<bool>> + 'a>;

/// Connection to a speaker, and the query for the route.
pub struct Tcp<'a> {
    remote: SocketAddr,
    stream: Option<TcpStream>,
    /// First connection beside which a second was made; it stays open.
    first: Option<TcpStream>,
    buffer: Vec<u8>,
    route: Route<'a>,
}

impl std::fmt::Debug for Tcp<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tcp").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl<'a> Tcp<'a> {
    /// Creates a wire to this speaker. `route` returns true if it has [`super::ROUTE`], `None` where that cannot be checked.
    pub fn new(remote: SocketAddr, route: impl FnMut() -> Result<Option<bool>> + 'a) -> Self {
        Self { remote, stream: None, first: None, buffer: Vec::new(), route: Box::new(route) }
    }

    fn dial(&mut self) -> Result<()> {
        self.buffer.clear();
        let stream = TcpStream::connect_timeout(&self.remote, Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }
}

impl Wire for Tcp<'_> {
    /// Connects with retries: a speaker that refuses, or closes before its OPEN, is still busy with the previous session.
    fn connect(&mut self) -> Result<()> {
        self.first = None;
        if let Some(stream) = self.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let start = clock::now();
        loop {
            let dialled = self.dial().and_then(|()| {
                let heard = self.receive(Duration::from_secs(2))?;
                ensure!(
                    matches!(&heard, Received::Message(message) if message[18] == 1),
                    "{heard:?}"
                );
                let Received::Message(open) = heard else { unreachable!("just ensured") };
                // The prober reads it first.
                drop(self.buffer.splice(..0, open));
                Ok(())
            });
            match dialled {
                Ok(()) => return Ok(()),
                Err(error) if clock::since(start) > REST => {
                    return Err(error).with_context(|| format!("{} does not listen", self.remote));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn connect_second(&mut self) -> Result<()> {
        self.first = self.stream.take();
        self.dial()
    }

    fn send(&mut self, octets: &[u8]) -> Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        stream.write_all(octets).context("cannot send")
    }

    fn receive(&mut self, patience: Duration) -> Result<Received> {
        loop {
            if let Some(message) = whole(&mut self.buffer)? {
                return Ok(Received::Message(message));
            }
            let stream = self.stream.as_mut().context("not connected")?;
            stream.set_read_timeout(Some(patience))?;
            let mut octets = [0; 8192];
            match stream.read(&mut octets) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.buffer.extend(&octets[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Ok(Received::Closed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(Received::Silence);
                }
                Err(error) => return Err(error).context("cannot receive"),
            }
        }
    }

    fn route(&mut self) -> Result<Option<bool>> {
        (self.route)()
    }
}

/// Takes one whole message from the buffer; `None` if there is none yet.
fn whole(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let Some(header) = buffer.get(..19) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    ensure!(length >= 19, "the speaker sends a message of {length} octets");
    if buffer.len() < length {
        return Ok(None);
    }
    Ok(Some(buffer.drain(..length).collect()))
}
