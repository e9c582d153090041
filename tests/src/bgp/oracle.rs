//! The differential oracle: inputs, most of them malformed, and what the RFCs have a speaker do with each. It knows speakers
//! from outside, octets in and octets out, and has its own small idea of BGP, so that no codec is judged by itself.
//!
//! The prober is AS 64513 and 10.77.0.1, or whatever [`Prober`] is given; the speaker under test is AS 64512, waits for it to call,
//! carries IPv4 and IPv6 unicast, and proposes a hold time of 3 s or more.
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
/// What the inputs announce.
pub const ROUTE: &str = "198.51.100.0/24";

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What is wrong with it.
    pub name: String,
    /// How far the session is before.
    pub at: Stage,
    /// Messages as text: see `octets`.
    pub send: Vec<String>,
    /// What may follow. The first is what the product does.
    pub answers: Vec<Answer>,
    /// Which rule says so.
    pub clause: String,
    /// Whether the route is absent for what it means, not for how it is written: a speaker that imports nothing need not look.
    pub semantic: bool,
    /// The hold time to propose, in seconds. 90 unless the case is about it.
    pub hold: u16,
}

/// How far a session is, as RFC 4271 section 8.2.2 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has sent its OPEN; nothing was sent to it.
    OpenSent,
    /// It has our OPEN, and waits for a KEEPALIVE.
    OpenConfirm,
    /// All is well.
    Established,
    /// The same, and the input comes on a second connection.
    Second,
}

/// What a speaker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It ends the session with a NOTIFICATION.
    Notification {
        /// Error code.
        code: u8,
        /// Error subcode.
        subcode: u8,
        /// Its data; `None` in a case = any.
        data: Option<Vec<u8>>,
    },
    /// It ends the connection without a word.
    Closed,
    /// It comes up.
    Established,
    /// It stays up; whether it has the route, if anybody looked.
    Up(Option<bool>),
}

/// One connection to a speaker.
pub trait Wire {
    /// Connects anew; what was before is gone.
    ///
    /// # Errors
    /// When nobody answers.
    fn connect(&mut self) -> Result<()>;
    /// Connects once more beside the connection there is, which is what [`Wire::receive`] goes on with.
    ///
    /// # Errors
    /// When nobody answers.
    fn connect_second(&mut self) -> Result<()>;
    /// Sends octets.
    ///
    /// # Errors
    /// When the connection is gone, which is no answer yet.
    fn send(&mut self, octets: &[u8]) -> Result<()>;
    /// The next message, if one comes in this time.
    ///
    /// # Errors
    /// When what comes is no BGP.
    fn receive(&mut self, patience: Duration) -> Result<Heard>;
    /// Whether it has the route now, if that can be known.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn route(&mut self) -> Result<Option<bool>>;
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A whole message.
    Message(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing.
    Silence,
}

/// The cases of `tests/vectors/bgp-oracle.json`.
///
/// # Errors
/// Where the file is not as its README says.
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
            other => anyhow::bail!("{other} is no stage"),
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
        Some(other) => anyhow::bail!("{other} is no answer"),
        None => {}
    }
    if let Some(route) = value["up"].as_str() {
        ensure!(matches!(route, "present" | "absent"), "{route}: present or absent");
        return Ok(Answer::Up(Some(route == "present")));
    }
    let code = value["notification"].as_str().and_then(|it| it.split_once('/'));
    let (code, subcode) = code.context("neither up nor notification")?;
    let data = value["data"].as_str().map(octets::hex).transpose()?;
    Ok(Answer::Notification { code: code.parse()?, subcode: subcode.parse()?, data })
}

impl Case {
    /// Whether this may follow.
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

    /// The messages as octets, where `us` and `them` are the ends' addresses.
    ///
    /// # Errors
    /// Where the text is not as `octets` reads it.
    pub fn octets(&self, us: Ipv4Addr, them: Ipv4Addr) -> Result<Vec<Vec<u8>>> {
        self.send.iter().map(|text| octets::message(text, us, them)).collect()
    }
}

/// As in a table: "3/1", "up/absent", "closed".
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
