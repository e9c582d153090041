//! What the API server refuses by itself: limits, and rules in CEL with messages that name the fix. Whoever applies an
//! object learns of a mistake at once. `convert` checks all of it again, since a folder has no API server; must not know it.
//!
//! Every list and string has a limit: the API server estimates the cost of a rule from them, and refuses a definition
//! whose rules could take too long. Libraries `ip` and `cidr` of CEL are in Kubernetes since 1.31.
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Condition;

/// Two IPv6 addresses of 39 characters and what people put between them.
const LONGEST_LINE: usize = 96;
/// Lines of one pool. An object of etcd could hold more, but no person.
const MOST_LINES: usize = 1024;
/// Names in one list.
const MOST_NAMES: usize = 1024;

/// The ends of a range. Not `split`: the estimator takes what comes out of it to be without limit.
const FIRST: &str = "self.substring(0, self.indexOf('-')).trim()";
const LAST: &str = "self.substring(self.indexOf('-') + 1).trim()";

/// `addresses`: at least one line.
pub(super) fn addresses(_: &mut SchemaGenerator) -> Schema {
    let mut schema = lines();
    schema.insert("minItems".into(), 1.into());
    schema
}

/// `exclude`.
pub(super) fn exclude(_: &mut SchemaGenerator) -> Schema {
    lines()
}

/// `namespaces`: DNS labels (RFC 1123).
pub(super) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    names(63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "is not the name of a namespace")
}

/// `announcers`: names of objects; null means every announcer, as its absence does.
pub(super) fn announcers(_: &mut SchemaGenerator) -> Schema {
    let mut schema = names(253, NAME, "is not the name of an Announcer");
    schema.insert("nullable".into(), true.into());
    schema
}

/// `interfaces`: what Linux takes as a name (`dev_valid_name`), at most IFNAMSIZ - 1 octets.
pub(super) fn interfaces(_: &mut SchemaGenerator) -> Schema {
    names(
        15,
        r"^[^/:\s]+$",
        "is not the name of an interface: write it as `ip link` shows it, without @ and what follows",
    )
}

/// `conditions`: one of each type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": generator.subschema_for::<Condition>(),
    })
}

/// Name of a plugin: of a `.wasm` file, and of a label's value.
pub(super) fn plugin(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "x-kubernetes-validations": [matching(
            NAME,
            "is not the name of a plugin: use lower-case letters, digits, '-' and '.', a letter or digit at both ends",
        )],
    })
}

/// Addresses and CIDRs.
pub(super) fn prefixes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MOST_LINES,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": LONGEST_LINE,
            "x-kubernetes-validations": [{
                "rule": "isCIDR(self) || isIP(self)",
                "messageExpression": "'\"' + self + '\" is neither an address (192.0.2.1) nor a CIDR (192.0.2.0/24)'",
                "message": "neither an address (192.0.2.1) nor a CIDR (192.0.2.0/24)",
            }],
        },
    })
}

/// Rules on one requirement of a label selector.
pub(super) fn requirement() -> Value {
    json!([
        {
            "rule": "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
            "message": "In and NotIn need at least one entry in values",
        },
        {
            "rule": "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || self.values.size() == 0",
            "message": "Exists and DoesNotExist take no values: remove them",
        },
    ])
}

/// Two nodes that answer ARP for one address are one too many: neighbours keep whoever came last.
pub(super) fn announcer_spec() -> Value {
    json!([{
        "rule": "!(self.plugin == 'layer2' && has(self.election) && self.election == 'all')",
        "message": ALL_ON_LAYER2,
        "fieldPath": ".election",
    }])
}

/// What is wrong with `election: all` of an Announcer of layer2.
pub(crate) const ALL_ON_LAYER2: &str =
    "on layer 2 one node answers for an address: remove election, or use the plugin bgp";

/// A node speaks for itself only: with the admission policy, which binds a node to the object of its name, nobody can
/// report as another.
pub(super) fn node_report() -> Value {
    json!([{
        "rule": "!has(self.status) || self.status.node == self.metadata.name",
        "message": "status.node must be metadata.name: a node reports on itself only",
        "fieldPath": ".status.node",
    }])
}

/// A Plugin goes by the name that pools and announcers use, which is also the value of a label.
pub(super) fn plugin_object() -> Value {
    json!([{
        "rule": "self.metadata.name.size() <= 63",
        "message": "the name of a plugin has at most 63 characters, as the value of a label has",
    }])
}

/// DNS subdomain (RFC 1123).
const NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

fn lines() -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MOST_LINES,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "string",
            "maxLength": LONGEST_LINE,
            "x-kubernetes-validations": [syntax(), one_family(), forwards()],
        },
    })
}

/// One address needs its /32 or /128: a bare one is more often a typing error than a pool of one.
fn syntax() -> Value {
    json!({
        "rule": format!("self.contains('-') ? isIP({FIRST}) && isIP({LAST}) : isCIDR(self.trim())"),
        "messageExpression":
            "'\"' + self + '\" is neither a CIDR (192.0.2.0/28; one address: 192.0.2.1/32) nor a range (192.0.2.1-192.0.2.9)'",
        "message": "neither a CIDR (192.0.2.0/28; one address: 192.0.2.1/32) nor a range (192.0.2.1-192.0.2.9)",
    })
}

fn one_family() -> Value {
    json!({
        "rule": format!("!{} || ip({FIRST}).family() == ip({LAST}).family()", range()),
        "messageExpression":
            "'\"' + self + '\" goes from one address family to the other: write one range per family'",
        "message": "goes from one address family to the other: write one range per family",
    })
}

/// IPv4 only: CEL has no order of addresses, and no arithmetic wide enough for IPv6. The condition of the pool says it.
fn forwards() -> Value {
    let number = |end: &str| {
        let octet = |at| format!("int({end}.split('.')[{at}])");
        format!(
            "{} * 16777216 + {} * 65536 + {} * 256 + {}",
            octet(0),
            octet(1),
            octet(2),
            octet(3)
        )
    };
    json!({
        "rule": format!(
            "!{} || ip({FIRST}).family() != 4 || ip({LAST}).family() != 4 || {} <= {}",
            range(), number(FIRST), number(LAST)
        ),
        "messageExpression": "'\"' + self + '\" ends before it starts: swap its ends'",
        "message": "ends before it starts: swap its ends",
    })
}

/// Whether the line is a range between two addresses, so that a rule has something to compare.
fn range() -> String {
    format!("(self.contains('-') && isIP({FIRST}) && isIP({LAST}))")
}

fn names(longest: usize, pattern: &str, problem: &str) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MOST_NAMES,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": longest,
            "x-kubernetes-validations": [matching(pattern, problem)],
        },
    })
}

fn matching(pattern: &str, problem: &str) -> Value {
    json!({
        "rule": format!("self.matches(r'{pattern}')"),
        "messageExpression": format!("'\"' + self + '\" ' + r'''{problem}'''"),
        "message": problem,
    })
}
