//! Limits and CEL rules that the API server enforces on its own, with messages that name the fix, so that a mistake is
//! reported as soon as an object is applied. `convert` checks everything again, because a folder has no API server. This
//! module must not know `convert`.
//!
//! Every list and string has a limit: the API server estimates the cost of a rule from the limits, and refuses a definition
//! whose rules could take too long. The CEL libraries `ip` and `cidr` exist since Kubernetes 1.31.
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Condition;

/// Maximum length of an address line: two IPv6 addresses of 39 characters and the separators between them.
const LONGEST_LINE: usize = 96;
/// Maximum number of lines of one pool. An etcd object could hold more, but no administrator writes as many.
const MOST_LINES: usize = 1024;
/// Maximum number of names in one list.
const MOST_NAMES: usize = 1024;

/// The first address of a range as a CEL expression. `split` is not used because the cost estimator assumes that its result
/// has no size limit.
const FIRST: &str = "self.substring(0, self.indexOf('-')).trim()";
const LAST: &str = "self.substring(self.indexOf('-') + 1).trim()";

/// Returns the schema of `addresses`, which needs at least one line.
pub(super) fn addresses(_: &mut SchemaGenerator) -> Schema {
    let mut schema = lines();
    schema.insert("minItems".into(), 1.into());
    schema
}

/// Returns the schema of `exclude`.
pub(super) fn exclude(_: &mut SchemaGenerator) -> Schema {
    lines()
}

/// Returns the schema of `namespaces`: DNS labels (RFC 1123).
pub(super) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    names(63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "is not the name of a namespace")
}

/// Returns the schema of `announcers`: names of objects. `null` means every announcer, as an absent field does.
pub(super) fn announcers(_: &mut SchemaGenerator) -> Schema {
    let mut schema = names(253, NAME, "is not the name of an Announcer");
    schema.insert("nullable".into(), true.into());
    schema
}

/// Returns the schema of `interfaces`: names that Linux accepts (`dev_valid_name`), of at most IFNAMSIZ - 1 bytes.
pub(super) fn interfaces(_: &mut SchemaGenerator) -> Schema {
    names(
        15,
        r"^[^/:\s]+$",
        "is not the name of an interface: write it as `ip link` shows it, without @ and what follows",
    )
}

/// Returns the schema of `conditions`: at most one of each type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": generator.subschema_for::<Condition>(),
    })
}

/// Returns the schema of a plugin name, which is also the name of a `.wasm` file and the value of a label.
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

/// Returns the schema of a list of addresses and CIDRs.
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

/// Returns the rules for one requirement of a label selector.
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

/// Returns the rule that forbids `election: all` on layer 2. If two nodes answer ARP for one address, neighbours keep the
/// answer that arrived last.
pub(super) fn announcer_spec() -> Value {
    json!([{
        "rule": "!(self.plugin == 'layer2' && has(self.election) && self.election == 'all')",
        "message": ALL_ON_LAYER2,
        "fieldPath": ".election",
    }])
}

/// Message of the rule that forbids `election: all` for an Announcer of the plugin layer2.
pub(crate) const ALL_ON_LAYER2: &str =
    "on layer 2 one node answers for an address: remove election, or use the plugin bgp";

/// Returns the rule that a node reports only on itself. Together with the admission policy, which binds a node to the
/// object of its name, no node can report as another node.
pub(super) fn node_report() -> Value {
    json!([{
        "rule": "!has(self.status) || self.status.node == self.metadata.name",
        "message": "status.node must be metadata.name: a node reports on itself only",
        "fieldPath": ".status.node",
    }])
}

/// Returns the rule for the name of a Plugin, which pools and announcers refer to and which is also the value of a label.
pub(super) fn plugin_object() -> Value {
    json!([{
        "rule": "self.metadata.name.size() <= 63",
        "message": "the name of a plugin has at most 63 characters, as the value of a label has",
    }])
}

/// Pattern of a DNS subdomain (RFC 1123).
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

/// Returns the rule for the syntax of a line. A single address needs its /32 or /128, because a bare address is more often
/// a typing error than a pool of one address.
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

/// Returns the rule that a range does not end before it starts. It checks IPv4 only: CEL has neither an order of addresses
/// nor arithmetic that is wide enough for IPv6. For IPv6 the condition of the pool reports the error.
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

/// Returns a CEL expression that is true if the line is a range between two valid addresses, so that a rule can compare them.
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
