//! Reads JSON objects field by field and collects all errors, each with its JSON Pointer. serde alone stops at the
//! first error and does not report its position. This module reads the top level; the entries of the lists have modules
//! of their own.
use std::collections::BTreeSet;
use std::fmt::Display;

use outrigger_sdk::FieldError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::community::Aliases;
use super::span::Span;
use super::template::Given;
use super::{Advertisement, Config, advertisement, peer};

/// One object, and the list to add its errors to. Fields that no code has read are errors as well.
pub(super) struct Fields<'a> {
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<FieldError>,
}

/// Parses the JSON and passes the whole object to `read`. Returns its result, or all errors if there are any.
pub(super) fn document<T>(
    json: &str,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    let mut problems = Vec::new();
    let value = serde_json::from_str(json)
        .map_err(|error| vec![FieldError { path: String::new(), message: error.to_string() }])?;
    let whole = object(String::new(), value, &mut problems, read);
    match whole {
        Some(whole) if problems.is_empty() => Ok(whole),
        _ => Err(problems),
    }
}

fn object<T>(
    path: String,
    value: Value,
    problems: &mut Vec<FieldError>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let Value::Object(map) = value else {
        problems.push(FieldError { path, message: format!("expected an object, found {value}") });
        return None;
    };
    let mut fields = Fields { path, map, known: Vec::new(), problems };
    let read = read(&mut fields);
    fields.finish();
    read
}

impl Fields<'_> {
    /// Records an error in a field; "" is the object itself.
    pub(super) fn wrong(&mut self, field: &str, message: impl Into<String>) {
        let path = self.pointer(field);
        self.problems.push(FieldError { path, message: message.into() });
    }

    fn pointer(&self, field: &str) -> String {
        // RFC 6901 section 3.
        let field = field.replace('~', "~0").replace('/', "~1");
        if field.is_empty() { self.path.clone() } else { format!("{}/{field}", self.path) }
    }

    /// Returns true if an error was recorded for this field or a part of it.
    pub(super) fn is_wrong(&self, field: &str) -> bool {
        let path = self.pointer(field);
        let below = |other: &str| other.strip_prefix(&path).is_some_and(is_below);
        self.problems.iter().any(|problem| below(&problem.path))
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.map.remove(field).filter(|value| !value.is_null())
    }

    /// Returns an optional field; one of the wrong type is recorded as an error and then treated as absent.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, field: &'static str) -> Option<T> {
        let value = self.take(field)?;
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    /// Returns a required field, and records an error if it is absent.
    pub(super) fn required<T: DeserializeOwned>(&mut self, field: &'static str) -> Option<T> {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.known.push(field);
            self.wrong(field, "is required");
            return None;
        }
        self.optional(field)
    }

    /// Returns a number, and records an error if it is outside the range.
    pub(super) fn number(&mut self, field: &'static str, least: u32, most: u32) -> Option<u32> {
        let number: u64 = self.optional(field)?;
        match u32::try_from(number).ok().filter(|number| (least..=most).contains(number)) {
            Some(number) => Some(number),
            None => {
                self.wrong(field, format!("{number} is not between {least} and {most}"));
                None
            }
        }
    }

    /// Reads a nested object.
    pub(super) fn nested<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(field)?;
        object(self.pointer(field), value, self.problems, read)
    }

    /// Parses each text of a list with `parse`, whose error is recorded for that entry.
    pub(super) fn texts<T>(
        &mut self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let texts: Vec<String> = self.optional(field)?;
        let mut parsed = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(one) => parsed.push(one),
                Err(message) => self.wrong_entry(field, index, message),
            }
        }
        Some(parsed)
    }

    /// Reads a list of objects, or with `or_one` also a single object without a list.
    pub(super) fn objects<T>(
        &mut self,
        field: &'static str,
        or_one: bool,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let path = self.pointer(field);
        match self.take(field)? {
            Value::Array(entries) => {
                let entries = entries.into_iter().enumerate();
                let problems = &mut *self.problems;
                Some(
                    entries
                        .filter_map(|(index, entry)| {
                            object(format!("{path}/{index}"), entry, problems, &mut read)
                        })
                        .collect(),
                )
            }
            one if or_one => object(path, one, self.problems, read).map(|one| vec![one]),
            other => {
                self.wrong(field, format!("expected a list, found {other}"));
                None
            }
        }
    }

    /// Records an error in one entry of a list.
    pub(super) fn wrong_entry(&mut self, field: &str, entry: impl Display, message: String) {
        let path = format!("{}/{entry}", self.pointer(field));
        self.problems.push(FieldError { path, message });
    }

    fn finish(mut self) {
        for field in std::mem::take(&mut self.map).keys() {
            let known = self.known.join(", ");
            self.wrong(field, format!("unknown field; known fields are {known}"));
        }
    }
}

fn is_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// Reads the whole configuration.
pub(super) fn config(fields: &mut Fields<'_>) -> Option<Config> {
    let asn = Given::required(fields, "asn", peer::asn);
    let router_id = Given::optional(fields, "routerId", router_id);
    let listen_port = fields.number("listenPort", 1, 65535).unwrap_or(179) as u16;
    let aliases = Aliases::read(fields);
    let graceful_shutdown_ms = fields
        .nested("gracefulShutdown", |fields| Some(graceful_shutdown(fields)))
        .unwrap_or(Some(GRACEFUL_SHUTDOWN_MS));
    let peers = fields.objects("peers", false, peer::read).unwrap_or_default();
    if peers.is_empty() && !fields.is_wrong("peers") {
        fields.wrong("peers", "is empty: name at least one peer");
    }
    peer::check_together(&peers, fields);
    let read_one = |fields: &mut Fields<'_>| Some(advertisement::read(fields, &aliases));
    let advertisements = fields
        .objects("advertisements", false, read_one)
        .unwrap_or_else(|| vec![Advertisement::default()]);
    if advertisements.len() > MOST_ADVERTISEMENTS {
        fields.wrong("advertisements", format!("has more than {MOST_ADVERTISEMENTS} entries"));
    }
    check_peer_names(&advertisements, &peers, fields);
    Some(Config { asn: asn?, router_id, listen_port, peers, advertisements, graceful_shutdown_ms })
}

/// Default time of `gracefulShutdown`: long enough for a router to choose other paths before ours are withdrawn. RFC
/// 8326 leaves it to the operator.
const GRACEFUL_SHUTDOWN_MS: u32 = 3_000;

/// Maximum number of advertisements, because each is examined for every address.
const MOST_ADVERTISEMENTS: usize = 1_000;

fn graceful_shutdown(fields: &mut Fields<'_>) -> Option<u32> {
    let enabled = fields.optional("enabled").unwrap_or(true);
    let time = Span::seconds(fields, "time", 0, 3600).map(Span::milliseconds);
    enabled.then_some(time.unwrap_or(GRACEFUL_SHUTDOWN_MS))
}

fn router_id(text: &str) -> Result<std::net::Ipv4Addr, String> {
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(id) if !id.is_unspecified() => Ok(id),
        // RFC 6286 section 2.1.
        Ok(_) => Err("0.0.0.0 is not a router ID: it must not be zero".to_owned()),
        Err(_) => Err(format!("{text:?} is not a dotted quad like 192.0.2.1")),
    }
}

/// Checks that the peers named in advertisements exist, because an advertisement to a missing peer would silently have
/// no effect.
fn check_peer_names(
    advertisements: &[Advertisement],
    peers: &[super::Peer],
    fields: &mut Fields<'_>,
) {
    let named: BTreeSet<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    for (index, advertisement) in advertisements.iter().enumerate() {
        let wanted = advertisement.peers.iter().flatten().enumerate();
        for (at, name) in wanted.filter(|(_, name)| !named.contains(name.as_str())) {
            let path = format!("/advertisements/{index}/peers/{at}");
            let message = format!("there is no peer {name:?} in peers");
            fields.problems.push(FieldError { path, message });
        }
    }
}
