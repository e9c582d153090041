//! The differential oracle: inputs, most of them malformed, and the behaviour that the RFCs require for each. It tests speakers
//! from outside, octets in and octets out, and has a small BGP implementation of its own, so that no codec is judged by itself.
//!
//! The prober is AS 64513 and 10.77.0.1, or the address given to [`Prober`]; the speaker under test is AS 64512, waits for a
//! connection, carries IPv4 and IPv6 unicast, and proposes a hold time of 3 s or more.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

mod generate;
mod octets;
mod prober;
mod tcp;

pub use generate::generated;
pub use prober::Prober;
pub use tcp::Tcp;

/// AS of the speaker under test.
pub const THEIR_AS: u16 = 64512;
/// AS of the prober.
pub const OUR_AS: u16 = 64513;
/// Prefix that the inputs announce.
pub const ROUTE: &str = "198.51.100.0/24";

/// Input of the oracle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Name of the case, which tells what is wrong with the input.
    pub name: String,
    /// Stage of the session before the input.
    pub at: Stage,
    /// Messages as text: see `octets`.
    pub send: Vec<String>,
    /// Allowed answers; the first is that of the product.
    pub answers: Vec<Answer>,
    /// Clause that requires these answers.
    pub clause: String,
    /// True if the route is absent because of its meaning, not its encoding: a speaker that imports nothing need not check.
    pub semantic: bool,
    /// Hold time to propose, in seconds: 90 unless the case is about it.
    pub hold: u16,
}

/// Stage of a session, as RFC 4271 section 8.2.2 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The speaker has sent its OPEN; nothing was sent to it.
    OpenSent,
    /// The speaker has our OPEN, and waits for a KEEPALIVE.
    OpenConfirm,
    /// The session is established.
    Established,
    /// The session is established, and the input comes on a second connection.
    Second,
}

/// Observed or allowed behaviour of a speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Ends the session with a NOTIFICATION.
    Notification {
        /// Error code.
        code: u8,
        /// Error subcode.
        subcode: u8,
        /// Data of the NOTIFICATION; `None` in a case means any.
        data: Option<Vec<u8>>,
    },
    /// Closes the connection without a NOTIFICATION.
    Closed,
    /// Establishes the session.
    Established,
    /// Keeps the session up; true if it has the route, `None` if that was not checked.
    Up(Option<bool>),
}

/// Connection to a speaker.
pub trait Wire {
    /// Connects, and closes any earlier connection.
    ///
    /// # Errors
    /// When no connection can be made.
    fn connect(&mut self) -> Result<()>;
    /// Opens a second connection beside the existing one; [`Wire::receive`] continues on the new one.
    ///
    /// # Errors
    /// When no connection can be made.
    fn connect_second(&mut self) -> Result<()>;
    /// Sends octets.
    ///
    /// # Errors
    /// When the connection is gone, which does not yet count as an answer.
    fn send(&mut self, octets: &[u8]) -> Result<()>;
    /// Returns the next message, if one comes in this time.
    ///
    /// # Errors
    /// When the received octets are not BGP.
    fn receive(&mut self, patience: Duration) -> Result<Received>;
    /// Returns true if the speaker has the route now; `None` if that cannot be determined.
    ///
    /// # Errors
    /// When the speaker cannot be queried.
    fn route(&mut self) -> Result<Option<bool>>;
}

/// Result of a receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing before the timeout.
    Silence,
}

/// Returns the cases of `tests/vectors/bgp-oracle.json`.
///
/// # Errors
/// When the file does not have the format described in its README.
pub fn cases() -> Result<Vec<Case>> {
    let file: Value = serde_json::from_str(include_str!("../../vectors/bgp-oracle.json"))?;
    let cases = file["cases"].as_array().context("no list of cases")?;
    cases.iter().map(|case| read(case).with_context(|| format!("in {case}"))).collect()
}

fn read(case: &Value) -> Result<Case> {
    let text = |field: &str| case[field].as_str().with_context(|| format!("no {field}"));
    let list = |field: &str| case[field].as_array().with_context(|| format!("no {field}"));
    let send = list("send")?.iter().map(|it| it.as_str().map(str::to_owned).context("no text"));
    let answers: Result<Vec<Answer>> = list("answers")?.iter().map(answer).collect();
    Ok(Case {
        name: text("name")?.to_owned(),
        at: match text("at")? {
            "OpenSent" => Stage::OpenSent,
            "OpenConfirm" => Stage::OpenConfirm,
            "Established" => Stage::Established,
            "Second" => Stage::Second,
            other => anyhow::bail!("{other} is not a stage"),
        },
        send: send.collect::<Result<_>>()?,
        answers: answers?,
        clause: text("clause")?.to_owned(),
        semantic: case["semantic"].as_bool().unwrap_or(false),
        hold: u16::try_from(case["hold"].as_u64().unwrap_or(90))?,
    })
}

fn answer(value: &Value) -> Result<Answer> {
    match value.as_str() {
        Some("closed") => return Ok(Answer::Closed),
        Some("established") => return Ok(Answer::Established),
        Some(other) => anyhow::bail!("{other} is not an answer"),
        None => {}
    }
    if let Some(route) = value["up"].as_str() {
        ensure!(
            matches!(route, "present" | "absent"),
            "route is {route}, but must be present or absent"
        );
        return Ok(Answer::Up(Some(route == "present")));
    }
    let code = value["notification"].as_str().and_then(|it| it.split_once('/'));
    let (code, subcode) = code.context("neither up nor notification")?;
    let data = value["data"].as_str().map(octets::hex).transpose()?;
    Ok(Answer::Notification { code: code.parse()?, subcode: subcode.parse()?, data })
}

impl Case {
    /// Returns true if this answer is allowed.
    pub fn allows(&self, observed: &Answer) -> bool {
        self.answers.iter().any(|allowed| match (allowed, observed) {
            (
                Answer::Notification { code, subcode, data },
                Answer::Notification { code: said, subcode: also, data: with },
            ) => (code, subcode) == (said, also) && (data.is_none() || data == with),
            (Answer::Up(Some(expected)), Answer::Up(Some(has))) => self.semantic || expected == has,
            (Answer::Up(_), Answer::Up(_)) => true,
            (allowed, observed) => allowed == observed,
        })
    }

    /// Returns the messages as octets, where `us` and `them` are the addresses of the ends.
    ///
    /// # Errors
    /// When the text does not have the format that `octets` reads.
    pub fn octets(&self, us: Ipv4Addr, them: Ipv4Addr) -> Result<Vec<Vec<u8>>> {
        self.send.iter().map(|text| octets::message(text, us, them)).collect()
    }
}

/// Formats the answer for a table: "3/1", "up/absent", "closed".
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Notification { code, subcode, data } => {
                write!(f, "{code}/{subcode}")?;
                let data = data.iter().flatten();
                data.enumerate().try_for_each(|(index, octet)| {
                    write!(f, "{}{octet:02x}", if index == 0 { " data " } else { "" })
                })
            }
            Self::Closed => f.write_str("closed"),
            Self::Established => f.write_str("established"),
            Self::Up(None) => f.write_str("up"),
            Self::Up(Some(true)) => f.write_str("up/present"),
            Self::Up(Some(false)) => f.write_str("up/absent"),
        }
    }
}
