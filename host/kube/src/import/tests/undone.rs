//! Tests that converting back restores the originals.
use super::old::OLD;
use super::*;

#[test]
fn undo_gives_the_originals_back() {
    for text in [POOL, OLD] {
        let originals = read("", text).expect("reads");
        let ours = read_values("", metallb(&originals, None).objects);
        let undone = undo(&ours, None);
        let said = lines(&undone);
        assert_eq!(said.len(), usize::from(text == OLD), "{said:#?}");
        assert!(said.iter().all(|line| line.starts_with("BGPPeer peer1: spec.password: ")));
        assert_eq!(undone.objects.len(), originals.len());
        let again = metallb(&read_values("", undone.objects), None);
        assert_eq!(again.objects[..1], metallb(&originals, None).objects[..1]);
    }
}

#[test]
fn undo_after_a_change_says_what_is_there_now() {
    let ours = "
apiVersion: outrigger.dev/v1alpha1
kind: AddressPool
metadata: { name: lan }
spec: { addresses: [10.0.0.0/29], exclude: [10.0.0.3/32], namespaces: [shop], announcers: [eth1] }
---
apiVersion: outrigger.dev/v1alpha1
kind: Announcer
metadata: { name: eth1 }
spec: { plugin: layer2, interfaces: [eth1] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop, annotations: { outrigger.dev/sharing-key: k } }
spec: { type: LoadBalancer }
";
    let undone = undo(&read("", ours).expect("reads"), None);
    let pool = object(&undone, "IPAddressPool", "lan");
    assert_eq!(pool["spec"]["addresses"], json!(["10.0.0.0-10.0.0.2", "10.0.0.4/30"]));
    assert_eq!(pool["spec"]["serviceAllocation"], json!({ "namespaces": ["shop"] }));
    assert_eq!(
        object(&undone, "L2Advertisement", "eth1")["spec"],
        json!({ "ipAddressPools": ["lan"], "interfaces": ["eth1"] })
    );
    assert_eq!(
        lines(&undone),
        [
            "Service shop/web: metadata.annotations[outrigger.dev/sharing-key]: MetalLB does not read it: kubectl -n shop annotate service web --overwrite metallb.io/allow-shared-ip=k",
        ]
    );
}
