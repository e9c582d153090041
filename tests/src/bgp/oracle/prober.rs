//! Brings a session to the stage of a case, sends its input, and waits for the answer. Independent of the transport.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::octets::message;
use super::{Answer, Case, Received, Stage, Wire};

const OPEN: u8 = 1;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
const ROUTE_REFRESH: u8 = 5;

/// Longest time that a speaker may take to answer a message.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time after which a silent speaker that cannot be asked counts as up.
const SETTLE: Duration = Duration::from_millis(300);

/// Both families, route refresh, enhanced route refresh, 4-octet AS 64513.
const CAPABILITIES: &str = "02 16 0104 0001 00 01 0104 0002 00 01 0200 4600 4104 0000fc01";
const WITHDRAW: &str = "marker length 02 0004 18 c63364 0000";
const REFRESH: &str = "marker length 05 0001 00 01";

/// Client that runs cases against a speaker.
#[derive(Debug)]
pub struct Prober<W> {
    wire: W,
    us: Ipv4Addr,
    them: Ipv4Addr,
    /// True if the session of the last case is still up.
    up: bool,
    /// True if both ends mark the end of a refresh (RFC 7313): the speaker can then be asked if it is still there.
    marks: bool,
    /// True if the speaker always marks the end of a refresh when it offers to. FRR 8.4 never does, nor does BIRD 2.0 before
    /// its first routes are out.
    keeps_its_word: bool,
}

impl<W: Wire> Prober<W> {
    /// Creates a prober that has not connected yet.
    pub fn new(wire: W, us: Ipv4Addr, them: Ipv4Addr) -> Self {
        Self { wire, us, them, up: false, marks: false, keeps_its_word: true }
    }

    /// Changes the prober for a speaker that offers enhanced route refresh and may not mark the end of one: its silence counts
    /// as up.
    pub fn of_one_that_may_not_mark(self) -> Self {
        Self { keeps_its_word: false, ..self }
    }

    /// Returns the wire to the speaker.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Sends a case's input and returns the speaker's answer.
    ///
    /// # Errors
    /// When the session could not be brought to the case's stage, or the speaker does not react at all.
    pub fn ask(&mut self, case: &Case) -> Result<Answer> {
        self.prepare(case).with_context(|| format!("before {:?}", case.name))?;
        let answer = self.observe(case).with_context(|| format!("after {:?}", case.name))?;
        self.up = matches!(answer, Answer::Up(_)) && case.at == Stage::Established;
        if self.up {
            // Removes the route, so that the next case does not find it.
            self.send(WITHDRAW);
        }
        Ok(answer)
    }

    fn prepare(&mut self, case: &Case) -> Result<()> {
        if case.at == Stage::Established && self.up && case.hold == 90 {
            return Ok(());
        }
        self.up = false;
        self.wire.connect()?;
        let open = self.expect(OPEN)?;
        self.marks = self.keeps_its_word && marks(&open);
        if case.at == Stage::OpenSent {
            return Ok(());
        }
        self.open(case.hold);
        self.expect(KEEPALIVE)?;
        if case.at == Stage::OpenConfirm {
            return Ok(());
        }
        self.send("marker length 04");
        let here = self.alive()?;
        anyhow::ensure!(here == Answer::Established, "the session does not come up: {here}");
        if case.at == Stage::Second {
            self.wire.connect_second()?;
        }
        Ok(())
    }

    fn observe(&mut self, case: &Case) -> Result<Answer> {
        if case.at == Stage::Second {
            // A collision is detected once the OPEN has arrived (RFC 4271 section 6.8).
            self.open(case.hold);
        }
        for octets in case.octets(self.us, self.them)? {
            if case.at == Stage::OpenSent {
                self.marks &= marks(&octets);
            }
            // A speaker that has already closed has left its answer.
            let _ = self.wire.send(&octets);
        }
        match case.at {
            Stage::Second => self.end(PATIENCE)?.context("the second connection stays open"),
            Stage::Established if case.send.is_empty() => {
                let patience = Duration::from_secs(u64::from(case.hold) * 3);
                self.end(patience)?.context("the speaker does not close the connection")
            }
            Stage::Established => Ok(match self.alive()? {
                Answer::Established => Answer::Up(self.wire.route()?),
                ended => ended,
            }),
            Stage::OpenConfirm => {
                self.send("marker length 04");
                Ok(match self.alive()? {
                    Answer::Established => Answer::Up(None),
                    ended => ended,
                })
            }
            Stage::OpenSent => {
                if let Some(ended) = self.confirmed()? {
                    return Ok(ended);
                }
                self.send("marker length 04");
                self.alive()
            }
        }
    }

    /// Waits for a KEEPALIVE; returns the answer if the session ended instead.
    fn confirmed(&mut self) -> Result<Option<Answer>> {
        loop {
            match self.wire.receive(PATIENCE)? {
                Received::Message(message) if message[18] == KEEPALIVE => return Ok(None),
                Received::Message(message) if message[18] == NOTIFICATION => {
                    return Ok(Some(notification(&message)));
                }
                Received::Message(_) => {}
                Received::Closed => return Ok(Some(Answer::Closed)),
                Received::Silence => bail!("neither a KEEPALIVE nor a NOTIFICATION came"),
            }
        }
    }

    /// Requests a refresh, whose end shows that everything before it was read; returns the answer if the session ended instead.
    fn alive(&mut self) -> Result<Answer> {
        self.send(REFRESH);
        loop {
            let patience = if self.marks { PATIENCE } else { SETTLE };
            match self.wire.receive(patience)? {
                Received::Message(message) if message[18] == NOTIFICATION => {
                    return Ok(notification(&message));
                }
                Received::Message(message)
                    if message[18] == ROUTE_REFRESH && message.get(21) == Some(&2) =>
                {
                    return Ok(Answer::Established);
                }
                Received::Message(_) => {}
                Received::Closed => return Ok(Answer::Closed),
                Received::Silence if self.marks => bail!("the speaker sends nothing"),
                Received::Silence => return Ok(Answer::Established),
            }
        }
    }

    /// Returns how the connection ended; `None` if it did not in this time.
    fn end(&mut self, patience: Duration) -> Result<Option<Answer>> {
        loop {
            match self.wire.receive(patience)? {
                Received::Message(message) if message[18] == NOTIFICATION => {
                    return Ok(Some(notification(&message)));
                }
                Received::Message(_) => {}
                Received::Closed => return Ok(Some(Answer::Closed)),
                Received::Silence => return Ok(None),
            }
        }
    }

    fn open(&mut self, hold: u16) {
        self.send(&format!("marker length 01 04 fc01 {hold:04x} {{us}} 18 {CAPABILITIES}"));
    }

    fn expect(&mut self, kind: u8) -> Result<Vec<u8>> {
        match self.wire.receive(PATIENCE)? {
            Received::Message(message) if message[18] == kind => Ok(message),
            Received::Message(message) if message[18] == NOTIFICATION => {
                bail!("message type {kind} was expected, not {}", notification(&message))
            }
            other => bail!("message type {kind} was expected, not {other:?}"),
        }
    }

    /// Sends a message of the prober. Errors are ignored, because a closed connection is found by the next receive.
    fn send(&mut self, text: &str) {
        let octets = message(text, self.us, self.them).expect("the prober's own messages are text");
        let _ = self.wire.send(&octets);
    }
}

/// Returns true if an OPEN offers enhanced route refresh: the capability's code and length are among the optional parameters,
/// where no other octets look like them.
fn marks(open: &[u8]) -> bool {
    open.get(29..).is_some_and(|parameters| parameters.windows(2).any(|pair| pair == [0x46, 0]))
}

fn notification(message: &[u8]) -> Answer {
    let part = |at| message.get(at).copied().unwrap_or(0);
    let data = message.get(21..).unwrap_or_default().to_vec();
    Answer::Notification { code: part(19), subcode: part(20), data: Some(data) }
}
