//! Converts an Announcer to a fact. This module must not know whether the plugin exists or accepts the configuration.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_core::facts::{self, Fact, PluginRef};
use outrigger_core::guard::Grant;
use outrigger_sdk::wire::bgp::GracefulRestart;

use super::{Converted, Invalid, checked, name, selector};
use crate::crd::{ALL_ON_LAYER2, Announcer, AnnouncerSpec, Election};

/// The plugin whose peers distribute traffic among several nodes themselves.
const EVERYWHERE: &str = "bgp";
/// The plugin whose neighbours accept only one node at a time.
const LAYER2: &str = "layer2";

/// The usual default of RFC 4724's Restart Time, in seconds.
const RESTART_S: u16 = 120;

/// Converts an Announcer.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn announcer(object: &Announcer) -> Result<Converted, Invalid> {
    let spec = &object.spec;
    let plugin = checked("spec.plugin", &spec.plugin, 63)?;
    let election = match spec.election {
        Some(Election::One) => facts::Election::One,
        Some(Election::All) if plugin == LAYER2 => {
            return Err(Invalid::new("spec.election", ALL_ON_LAYER2));
        }
        Some(Election::All) => facts::Election::All,
        None if plugin == EVERYWHERE => facts::Election::All,
        None => facts::Election::One,
    };
    let (grant, secrets) = grant(spec)?;
    let fact = facts::Announcer {
        name: name(&object.metadata)?,
        plugin: PluginRef { plugin, config: spec.config.to_json() },
        node_selector: selector("spec.nodeSelector", spec.node_selector.as_ref())?,
        interfaces: spec.interfaces.clone(),
        service_selector: selector("spec.serviceSelector", spec.service_selector.as_ref())?,
        ignore_exclude_label: spec.ignore_exclude_label,
        election,
        grant,
        secrets,
    };
    Ok(Fact::from(fact).into())
}

fn grant(spec: &AnnouncerSpec) -> Result<(Grant, BTreeMap<String, String>), Invalid> {
    let mut grant = Grant {
        peers: prefixes("spec.allow.peers", &spec.allow.peers)?,
        aggregates: prefixes("spec.allow.aggregates", &spec.allow.aggregates)?,
        restart_s: restart_time(spec.allow.restart_time)?,
        communities: spec.allow.communities.clone(),
        devices: spec.interfaces.clone(),
        secrets: BTreeMap::new(),
    };
    if let Some(at) = grant.aggregates.iter().position(|prefix| prefix.prefix_len() == 0) {
        let problem = "a default route is never announced: write the prefixes of your pools";
        return Err(Invalid::new(format!("spec.allow.aggregates[{at}]"), problem));
    }
    let mut names = BTreeMap::new();
    for (at, entry) in spec.secret_refs.iter().enumerate() {
        let field = format!("spec.secretRefs[{at}]");
        let name = checked(&format!("{field}.name"), &entry.name, 63)?;
        let secret = entry.secret_name.as_deref().unwrap_or(&entry.name);
        let secret = checked(&format!("{field}.secretName"), secret, 253)?;
        let peers = prefixes(&format!("{field}.peers"), &entry.peers)?;
        if names.insert(name.clone(), secret).is_some() {
            let problem = format!("{name:?} is used twice: give each entry its own name");
            return Err(Invalid::new(format!("{field}.name"), problem));
        }
        grant.secrets.insert(name, peers);
    }
    Ok((grant, names))
}

/// Returns the restart time in seconds, a value of twelve bits (RFC 4724 section 3).
fn restart_time(seconds: Option<i32>) -> Result<u16, Invalid> {
    let Some(seconds) = seconds else { return Ok(RESTART_S) };
    let within = u16::try_from(seconds).ok().filter(|it| *it <= GracefulRestart::MAX_RESTART_TIME);
    within.ok_or_else(|| {
        let problem = format!("{seconds} is not a restart time: write 0 to 4095 seconds");
        Invalid::new("spec.allow.restartTime".to_owned(), problem)
    })
}

/// Parses addresses and CIDRs. A bare address becomes the prefix of that single address.
fn prefixes(field: &str, lines: &[String]) -> Result<Vec<IpNet>, Invalid> {
    let line = |(at, line): (usize, &String)| {
        let bare = line.parse::<IpAddr>().map(IpNet::from).ok();
        let prefix = bare.or_else(|| line.parse::<IpNet>().ok().map(|prefix| prefix.trunc()));
        let problem = || {
            format!(
                "{line:?} is neither an address (192.0.2.1) nor a CIDR (192.0.2.0/24): correct it"
            )
        };
        prefix.ok_or_else(|| Invalid::new(format!("{field}[{at}]"), problem()))
    };
    lines.iter().enumerate().map(line).collect()
}
