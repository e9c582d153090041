//! Commands that answer a question, run as a user would: their output streams and exit codes.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outrigger_tests::cluster::example;
use outrigger_tests::product;

fn program() -> PathBuf {
    product::binary().expect("the daemon is built")
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env_clear().args(arguments).stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn outrigger(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&program(), arguments);
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Creates a folder with one file.
fn folder(content: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("metallb.yaml"), content).expect("is written");
    folder
}

#[test]
fn the_old_config_map_of_the_examples_is_imported_whole_and_back() {
    let path = example();
    let (code, yaml, lines) = outrigger(&["import", "metallb", "-f", &path.to_string_lossy()]);
    assert_eq!((code, lines.as_str()), (Some(0), ""));
    assert!(
        yaml.contains("kind: AddressPool\n") && yaml.contains("- 192.168.1.240/28\n"),
        "{yaml}"
    );
    let ours = folder(&yaml);
    let file = ours.path().join("metallb.yaml");
    let file = file.to_string_lossy();
    let (code, back, lines) =
        outrigger(&["import", "metallb", "--undo", "-o", "json", "-f", &file]);
    assert_eq!((code, lines.as_str()), (Some(0), ""));
    let back: serde_json::Value = serde_json::from_str(&back).expect("JSON");
    assert_eq!(back["items"][0]["kind"], "ConfigMap");
    assert_eq!(back["items"][0]["metadata"]["name"], "config");
}

#[test]
fn what_is_left_out_is_one_line_and_another_exit_code() {
    let text = std::fs::read_to_string(example().join("config.yaml")).expect("is there");
    let typo = text.replace("      addresses:", "      adresses:");
    let more = "    - name: dmz\n      protocol: layer2\n      addresses: [198.51.100.0/28]\n";
    let folder = folder(&format!("{}\n{more}", typo.trim_end()));
    let path = folder.path().to_string_lossy();
    let (code, yaml, lines) = outrigger(&["import", "metallb", "-f", &path]);
    assert_eq!((code, lines.lines().count()), (Some(2), 1), "{lines}");
    for part in [
        "metallb.yaml",
        "ConfigMap metallb-system/config",
        "address-pools[0]",
        "adresses",
        "left out",
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
    assert!(yaml.contains("198.51.100.0/28") && !yaml.contains("192.168.1.240/28\n  "), "{yaml}");
}

#[test]
fn nothing_is_printed_of_half_a_file() {
    let folder = folder("apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nspec: [");
    let path = folder.path().to_string_lossy();
    let (code, yaml, lines) = outrigger(&["import", "metallb", "-f", &path]);
    assert_eq!((code, yaml.as_str()), (Some(1), ""));
    assert!(lines.contains("metallb.yaml: line "), "{lines}");
}

#[test]
fn a_folder_is_explained_like_a_cluster() {
    let state = tempfile::tempdir().expect("a folder");
    let path = example();
    let (manifests, state) = (path.to_string_lossy(), state.path().join("state"));
    let state = state.to_string_lossy();
    let folders = ["--manifests", &manifests, "--state", &state];
    let (code, text, _) = outrigger(&[&["why", "web"][..], &folders].concat());
    assert_eq!(code, Some(0));
    assert!(
        text.starts_with("Service default/web has no address: pool \"default\" could give one"),
        "{text}"
    );
    let (_, json, _) = outrigger(&[&["why", "svc/web", "-o", "json"][..], &folders].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["services"][0]["pools"][0]["outcome"], "undecided");
    let (_, text, _) = outrigger(&[&["why", "192.168.1.240"][..], &folders].concat());
    assert!(text.contains("it is free, and in pool \"default\""), "{text}");
    let (code, text, _) = outrigger(&[&["status"][..], &folders].concat());
    assert_eq!(code, Some(0));
    assert!(text.contains("default/web"), "{text}");
    let (code, _, lines) = outrigger(&[&["why", "nobody"][..], &folders].concat());
    assert_eq!(code, Some(1));
    assert!(lines.contains("there are: default/web"), "{lines}");
}

#[test]
fn as_a_plugin_of_kubectl_it_says_what_a_person_types() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("kubectl-outrigger");
    std::os::unix::fs::symlink(program(), &plugin).expect("a link");
    let help = run(&plugin, &["why", "--help"]);
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    assert!(help.contains("Usage: kubectl outrigger why"), "{help}");
    let (_, help, _) = outrigger(&["why", "--help"]);
    assert!(help.contains("Usage: outrigger why"), "{help}");
}

#[test]
fn a_plan_says_what_layer_2_announces_beside_the_first_announcer_of_bgp() {
    let pool = "apiVersion: outrigger.dev/v1alpha1\nkind: AddressPool\nmetadata: {name: lan}\nspec: {addresses: [192.0.2.0/28]}\n";
    let racks = "---\napiVersion: outrigger.dev/v1alpha1\nkind: Announcer\nmetadata: {name: racks}\nspec: {plugin: bgp, \
                 config: {asn: 64512, peers: [{name: a, address: 192.0.2.129, asn: 64500}]}, allow: {peers: [192.0.2.129]}}\n";
    let cache = tempfile::tempdir().expect("a folder");
    let planned = |content: &str| {
        let folder = folder(content);
        let (manifests, cache) = (folder.path().to_string_lossy(), cache.path().to_string_lossy());
        let (code, text, errors) =
            outrigger(&["plan", "--manifests", &manifests, "--cache", &cache, "--node", "n1"]);
        assert_eq!(code, Some(0), "{text}{errors}");
        text
    };
    assert!(!planned(pool).contains("note: "));
    let text = planned(&format!("{pool}{racks}"));
    assert!(
        text.contains(
            "note: the built-in announcer layer2 announces the addresses of lan in addition to racks"
        ),
        "{text}"
    );
    let named = pool.replace("[192.0.2.0/28]", "[192.0.2.0/28], announcers: [racks]");
    assert!(!planned(&format!("{named}{racks}")).contains("note: "));
}
