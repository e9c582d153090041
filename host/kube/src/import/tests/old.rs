//! Tests of the ConfigMap that MetalLB used before its custom resources.
use super::*;

pub(super) const OLD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { namespace: metallb-system, name: config }
data:
  config: |
    peers:
    - peer-address: 10.0.0.254
      peer-asn: 64501
      my-asn: 64500
      password: hush
      node-selectors:
      - match-labels: { rack: r1 }
    bgp-communities:
      no-export: 65535:65281
    address-pools:
    - name: default
      protocol: layer2
      addresses: [192.168.1.240/28]
    - name: routed
      protocol: bgp
      addresses: [198.51.100.0/24]
      bgp-advertisements:
      - aggregation-length: 24
        localpref: 100
        communities: [no-export]
";

#[test]
fn the_old_config_map_is_read_with_its_bgp() {
    let imported = import(OLD);
    assert_eq!(
        object(&imported, "AddressPool", "default")["spec"]["announcers"],
        json!(["layer2"])
    );
    assert_eq!(object(&imported, "AddressPool", "routed")["spec"]["announcers"], json!(["bgp"]));
    check_speaker(&imported);
    let bgp = &object(&imported, "Announcer", "bgp")["spec"];
    assert_eq!(bgp["plugin"], "bgp");
    assert_eq!(bgp["allow"], json!({ "peers": ["10.0.0.254"], "aggregates": ["198.51.100.0/24"] }));
    assert_eq!(
        bgp["config"],
        json!({
            "asn": 64500,
            "peers": [{
                "name": "peer1", "address": "10.0.0.254", "asn": 64501, "families": ["ipv4"],
                "md5": { "name": "bgp-peer1", "key": "password" },
                "nodeSelector": [{ "matchLabels": { "rack": "r1" } }],
            }],
            "advertisements": [{
                "pools": ["routed"], "aggregationLength": 24, "localPref": 100, "communities": ["no-export"],
            }],
            "communityAliases": { "no-export": "65535:65281" },
        })
    );
    assert_eq!(lines(&imported).len(), 1);
    assert!(
        lines(&imported)[0]
            .contains("data.config.peers[0]: spec.password: a password is not copied")
    );
    let all = json!(imported.objects).to_string();
    assert!(!all.contains("hush"), "a password is printed");
}

#[test]
fn a_typo_in_the_old_config_map_stops_only_its_pool() {
    let imported =
        import(&OLD.replace("name: default\n", "name: default\n      auto-asign: false\n"));
    let lines = lines(&imported);
    assert!(
        lines[0]
            .starts_with("m.yaml: ConfigMap metallb-system/config: data.config.address-pools[0]: "),
        "{lines:#?}"
    );
    assert!(
        lines[0].contains("auto-asign") && lines[0].contains("pool default is left out"),
        "{lines:#?}"
    );
    object(&imported, "AddressPool", "routed");
    let misspelt = import(&OLD.replace("address-pools:", "adress-pools:"));
    assert!(
        misspelt.left_out.iter().any(|line| line.field == "data.config.adress-pools"),
        "{misspelt:#?}"
    );
}

#[test]
fn what_other_programs_call_config_is_not_metallbs() {
    let theirs = "
---
apiVersion: v1
kind: ConfigMap
metadata: { namespace: shop, name: config }
data: { config: 'peers: [a, b]' }
";
    let imported = import(&format!("{POOL}{theirs}"));
    assert_eq!(lines(&imported), Vec::<String>::new());
}
