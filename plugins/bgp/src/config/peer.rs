//! Reads an entry of `peers[]`, and checks the constraints between its fields and between peers.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::{IpNet, SecretRef};

use super::read::Fields;
use super::selector::Selector;
use super::span::Span;
use super::template::Given;
use super::{Bfd, Families, GracefulRestart, Host, Peer, PeerAsn, Remote, TtlPolicy};

/// Default Hold Time, suggested by RFC 4271 section 10.
const HOLD_S: u16 = 90;
/// Longest Hold Time: longer than any operator waits, and small enough for the microseconds of an offload.
const LONGEST_HOLD_S: u64 = 3_600;
/// Default Send Hold Time (RFC 9687 section 4).
const SEND_HOLD_S: u32 = 480;
/// Longest shutdown message (RFC 9003 section 2).
const LONGEST_MESSAGE: usize = 255;

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Peer> {
    let name: Option<String> = fields.required("name");
    if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 63) {
        fields.wrong("name", "must have 1 to 63 letters");
    }
    let remote = remote(fields);
    let asn = Given::required(fields, "asn", peer_asn);
    let passive = fields.optional("passive").unwrap_or(false);
    let waits = passive || !matches!(remote, None | Some(Remote::Address(_)));
    let listens = fields.optional("listen").unwrap_or(waits);
    if waits && !listens {
        fields.wrong("listen", "must be true for a passive peer");
    }
    let (hold_s, keepalive_s) = timers(fields);
    let shutdown_message: String = fields.optional("shutdownMessage").unwrap_or_default();
    if shutdown_message.len() > LONGEST_MESSAGE {
        fields.wrong("shutdownMessage", "is longer than 255 octets (RFC 9003)");
    }
    let peer = Peer {
        name: name.unwrap_or_default(),
        local_asn: fields.optional("localAsn").and_then(|number: u32| {
            check_asn(number).map_err(|message| fields.wrong("localAsn", message)).ok()
        }),
        port: fields.number("port", 1, 65535).unwrap_or(179) as u16,
        dials: !waits,
        listens,
        source: Given::optional(fields, "sourceAddress", address),
        vrf: fields.optional("vrf"),
        hold_s,
        keepalive_s,
        connect_retry_ms: Span::seconds(fields, "connectRetryTime", 1, 65535)
            .map_or(10_000, Span::milliseconds),
        send_hold_s: Span::seconds(fields, "sendHoldTime", 1, 65535)
            .map_or(SEND_HOLD_S.max(2 * u32::from(hold_s)), |span| span.milliseconds() / 1_000),
        md5: fields.nested("md5", |md5| {
            let key = md5.optional("key").unwrap_or_else(|| "password".to_owned());
            Some(SecretRef { name: md5.required("name")?, key })
        }),
        reach: reach(fields),
        bfd: fields.nested("bfd", |bfd| Some(read_bfd(bfd))),
        graceful_restart: fields.nested("gracefulRestart", |restart| {
            let restart_s = restart.number("restartTime", 1, 4095).unwrap_or(120) as u16;
            let notification = restart.optional("notification").unwrap_or(true);
            Some(GracefulRestart { restart_s, notification })
        }),
        families: families(fields),
        maximum_prefixes: fields.number("maximumPrefixes", 1, 10_000_000),
        nodes: Selector::read(fields, "nodeSelector"),
        shutdown: fields.optional("shutdown").unwrap_or(false),
        shutdown_message,
        asn: asn?,
        remote: remote?,
    };
    check(&peer, fields);
    Some(peer)
}

/// Checks the constraints between the fields of one peer.
fn check(peer: &Peer, fields: &mut Fields<'_>) {
    if let (Remote::Address(Given::Here(host)), Some(Given::Here(source))) =
        (&peer.remote, &peer.source)
        && host.address.is_ipv4() != source.is_ipv4()
    {
        fields.wrong("sourceAddress", "is not of the same family as address");
    }
    let far = matches!(peer.reach, TtlPolicy::Multihop(_));
    if far && matches!(peer.remote, Remote::Interface(_)) {
        fields.wrong("multihop", "is not allowed for a peer that is configured by interface");
    }
    if peer.asn == Given::Here(PeerAsn::Internal) && peer.local_asn.is_some() {
        fields.wrong(
            "localAsn",
            "cannot be combined with asn: internal, because both sides then have the same AS",
        );
    }
}

/// Checks the constraints between peers. Peers for different nodes may be the same.
pub(super) fn check_together(peers: &[Peer], fields: &mut Fields<'_>) {
    let mut names = BTreeMap::new();
    for (index, peer) in peers.iter().enumerate() {
        if let Some(first) = names.insert(&peer.name, index) {
            let message = format!("{:?} is already the name of /peers/{first}", peer.name);
            fields.wrong_entry("peers", format!("{index}/name"), message);
        }
        let twin = peers[..index].iter().position(|before| {
            before.remote == peer.remote
                && before.vrf == peer.vrf
                && before.nodes.is_everything()
                && peer.nodes.is_everything()
        });
        if let Some(first) = twin {
            let message = format!("is the same neighbour as /peers/{first}");
            fields.wrong_entry("peers", index, message);
        }
    }
}

fn remote(fields: &mut Fields<'_>) -> Option<Remote> {
    let address = Given::optional(fields, "address", host).map(Remote::Address);
    let text: Option<String> = fields.optional("prefix");
    let parsed = text.map(|text| prefix(&text));
    let prefix =
        parsed.and_then(|parsed| parsed.map_err(|wrong| fields.wrong("prefix", wrong)).ok());
    let interface = Given::optional(fields, "interface", interface).map(Remote::Interface);
    let mut found = [address, prefix.map(Remote::Prefix), interface].into_iter().flatten();
    let remote = found.next();
    let wrong = ["address", "prefix", "interface"].iter().any(|field| fields.is_wrong(field));
    if (remote.is_none() || found.next().is_some()) && !wrong {
        fields.wrong("", "needs exactly one of address, prefix and interface");
    }
    remote
}

fn timers(fields: &mut Fields<'_>) -> (u16, u16) {
    let mut seconds = |field| {
        let span = Span::seconds(fields, field, 0, LONGEST_HOLD_S)?;
        span.whole_seconds().map_err(|message| fields.wrong(field, message)).ok()
    };
    let (hold, keepalive) = (seconds("holdTime"), seconds("keepaliveTime"));
    let hold_s = hold.unwrap_or(keepalive.map_or(HOLD_S, |seconds| seconds.saturating_mul(3)));
    // RFC 4271 section 4.2.
    if matches!(hold_s, 1 | 2) {
        fields.wrong("holdTime", "must be 0 or at least 3 s (RFC 4271)");
    }
    let keepalive_s = keepalive.unwrap_or(hold_s / 3);
    if keepalive_s > hold_s {
        fields.wrong("keepaliveTime", format!("is longer than the hold time, {hold_s}s"));
    }
    (hold_s, keepalive_s)
}

fn reach(fields: &mut Fields<'_>) -> TtlPolicy {
    let multihop = fields.number("multihop", 1, 255);
    let hops = fields.number("ttlSecurity", 1, 254);
    match (multihop, hops) {
        (Some(_), Some(_)) => {
            fields.wrong(
                "ttlSecurity",
                "cannot be combined with multihop: set the number of hops in ttlSecurity only",
            );
            TtlPolicy::Default
        }
        (Some(ttl), None) => TtlPolicy::Multihop(ttl as u8),
        (None, Some(hops)) => TtlPolicy::Secured(hops as u8),
        (None, None) => TtlPolicy::Default,
    }
}

fn read_bfd(fields: &mut Fields<'_>) -> Bfd {
    let mut interval =
        |field| Span::of_milliseconds(fields, field, 1, 60_000).map_or(300_000, Span::microseconds);
    let (transmit_us, receive_us) = (interval("transmitInterval"), interval("receiveInterval"));
    Bfd {
        transmit_us,
        receive_us,
        multiplier: fields.number("detectMultiplier", 1, 255).unwrap_or(3) as u8,
        passive: fields.optional("passive").unwrap_or(false),
        minimum_ttl: fields.number("minimumTtl", 1, 254).unwrap_or(254) as u8,
    }
}

fn families(fields: &mut Fields<'_>) -> Families {
    let Some(names) = fields.texts("families", |name| match name {
        "ipv4" | "ipv6" => Ok(name.to_owned()),
        other => Err(format!("{other:?} is neither ipv4 nor ipv6")),
    }) else {
        return Families { ipv4: true, ipv6: true };
    };
    if names.is_empty() && !fields.is_wrong("families") {
        fields.wrong("families", "is empty: name at least one of ipv4 and ipv6");
    }
    let has = |name: &str| names.iter().any(|one| one == name);
    Families { ipv4: has("ipv4"), ipv6: has("ipv6") }
}

/// Parses and checks a literal AS number.
pub(super) fn asn(text: &str) -> Result<u32, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is not an AS number"))?;
    check_asn(number)
}

fn check_asn(number: u32) -> Result<u32, String> {
    match number {
        0 => Err("AS 0 is not a valid AS (RFC 7607)".to_owned()),
        23456 => Err("23456 is AS_TRANS, which is reserved (RFC 6793)".to_owned()),
        65535 | u32::MAX => Err(format!("{number} is reserved (RFC 7300)")),
        _ => Ok(number),
    }
}

fn peer_asn(text: &str) -> Result<PeerAsn, String> {
    match text {
        "external" => Ok(PeerAsn::External),
        "internal" => Ok(PeerAsn::Internal),
        number => asn(number)
            .map(PeerAsn::Number)
            .map_err(|message| format!("{message}; external and internal are allowed as well")),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address"))
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet =
        text.parse().map_err(|_| format!("{text:?} is not a prefix like 192.0.2.0/24"))?;
    if prefix.trunc() != prefix {
        return Err("has bits set after its prefix length".to_owned());
    }
    Ok(prefix)
}

fn host(text: &str) -> Result<Host, String> {
    let (ip, zone) = text.split_once('%').unwrap_or((text, ""));
    let address = address(ip)?;
    let link_local = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if link_local == zone.is_empty() {
        return Err(match link_local {
            true => format!("{text} needs its interface: {text}%eth0"),
            false => format!("{ip} needs no interface: only link-local addresses do"),
        });
    }
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{text} is not the address of a host"));
    }
    Ok(Host { address, zone: zone.to_owned() })
}

fn interface(text: &str) -> Result<String, String> {
    // IFNAMSIZ, without its NUL.
    let fits = (1..=15).contains(&text.len());
    let letters = !text.contains(|letter: char| letter == '/' || letter.is_whitespace());
    if fits && letters {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not an interface name"))
    }
}
