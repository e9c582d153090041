//! Tests of folders as users leave them: which files are read, which are refused with which message, and what stays active
//! meanwhile.
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;

use futures_util::FutureExt as _;
use outrigger_core::facts::{Cluster, Component, Service, ServiceKey};
use outrigger_sdk::Time;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::state::Allocated;

mod status;

/// A folder, and the cluster that results from its changes.
struct Bench {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    folder: Folder,
    cluster: Cluster,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| None)
    }

    fn with(files: &[(&str, &str)], state: fn(&Path) -> Option<State>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("manifests");
        fs::create_dir(&dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
        let folder = Folder::open(&dir, state(&dir).as_ref()).unwrap();
        let mut bench = Self { _temp: temp, dir, folder, cluster: Cluster::default() };
        bench.read();
        bench
    }

    /// Reads the folder and returns the number of changes that made a difference.
    fn read(&mut self) -> usize {
        let changes = self.folder.read();
        let differs = changes.into_iter().filter_map(|change| self.cluster.apply(change)).count();
        // A change that makes no difference must not be reported.
        assert_eq!(self.folder.read(), []);
        differs
    }

    fn write(&mut self, name: &str, text: &str) -> usize {
        fs::write(self.dir.join(name), text).unwrap();
        self.read()
    }

    /// Returns the problems, without the folder's own path.
    fn problems(&self) -> Vec<String> {
        let prefix = format!("{}/", self.dir.display());
        self.folder
            .problems()
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    fn pools(&self) -> Vec<&str> {
        self.cluster.pools.keys().map(String::as_str).collect()
    }

    fn services(&self) -> Vec<String> {
        self.cluster.services.keys().map(ToString::to_string).collect()
    }

    fn web(&self) -> &Service {
        &self.cluster.services[&key("web")]
    }
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

fn pool(name: &str, addresses: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: AddressPool\nmetadata:\n  name: {name}\nspec:\n  addresses: [{addresses}]\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: LoadBalancer\n"
    )
}

#[test]
fn the_example_of_metallb_0_9_is_read_as_it_is() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/metallb-v0.9");
    let mut folder = Folder::open(&dir, None).unwrap();
    let mut cluster = Cluster::default();
    let changes = folder.read();
    assert_eq!(changes.last(), Some(&Change::Synced));
    changes.into_iter().for_each(|change| assert!(cluster.apply(change).is_some()));
    assert_eq!(folder.problems(), []);
    assert!(folder.complete());
    assert_eq!(cluster.pools["default"].addresses[0].to_string(), "192.168.1.240/28");
    assert_eq!(cluster.pools["default"].announcers.as_deref(), Some(&["layer2".to_owned()][..]));
    assert_eq!(cluster.services[&key("web")].ports[0].port, 80);
}

#[test]
fn bad_input_is_refused_with_the_fix_and_stops_only_itself() {
    let good = pool("good", "10.9.0.0/24");
    for (text, expected) in [
        (
            "kind: Service\n  name: web\n",
            "bad.yaml: line 9, column 7: mapping values are not allowed in this context: correct it",
        ),
        (
            "apiVersion: v1\nkind: [Service]\n",
            "bad.yaml: line 9, column 7: expected string scalar: correct it",
        ),
        (
            "kind: Service\n",
            "bad.yaml: has no apiVersion or no kind: add both, or move the file out of this folder",
        ),
        (
            &pool("p", "10.0.0.300-1"),
            "bad.yaml: AddressPool p: spec.addresses[0]: \"10.0.0.300\" in \"10.0.0.300-1\" is not an IP address: write a CIDR (192.0.2.0/28) or a range (192.0.2.1-192.0.2.9)",
        ),
        (
            &pool("p", "10.0.0.0/24").replace("addresses", "adresses"),
            "bad.yaml: AddressPool p: line 13, column 3: unknown field `adresses`, expected one of addresses, exclude, autoAssign, avoidBuggyIPs, priority, namespaces, namespaceSelector, serviceSelector, allocator, announcers: correct it",
        ),
        (
            &pool("p", "10.0.0.0/24").replace("v1alpha1", "v1"),
            "bad.yaml: AddressPool p: apiVersion outrigger.dev/v1 is not served: write outrigger.dev/v1alpha1",
        ),
        (
            "apiVersion: outrigger.dev/v1alpha1\nkind: Pool\nmetadata: {name: p}\n",
            "bad.yaml: Pool default/p: there is no kind Pool in outrigger.dev/v1alpha1: write AddressPool or Announcer",
        ),
        (
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: metallb-system}\n",
            "bad.yaml: IPAddressPool metallb-system/p: MetalLB's custom resources are not read from a folder: run outrigger import metallb -f FILE to convert them",
        ),
        (
            &good,
            "bad.yaml: AddressPool good: is in this file twice, and the first one is used: remove one of the two",
        ),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n", ""),
        ("# nothing\n", ""),
    ] {
        let bench =
            Bench::new(&[("bad.yaml", &format!("{good}---\n{text}---\n{}", service("web")))]);
        assert_eq!(bench.problems().join("\n"), expected, "for {text}");
        assert_eq!(
            (bench.pools(), bench.services()),
            (vec!["good"], vec!["default/web".to_owned()]),
            "for {text}"
        );
        assert!(bench.cluster.synced);
    }
}

#[test]
fn what_was_read_before_stays_when_its_object_goes_bad() {
    let two = |second: &str| format!("{}---\n{second}", pool("a", "10.0.0.0/24"));
    let mut bench = Bench::new(&[("pools.yaml", &two(&pool("b", "10.1.0.0/24")))]);
    for (text, expected) in [
        (two(&pool("b", "10.1.0.0/40")), 1),
        (two("kind: {"), 1),
        (String::new(), 1),
        ("\u{0}: {".to_owned(), 1),
    ] {
        assert_eq!(bench.write("pools.yaml", &text), 0, "for {text:?}");
        assert_eq!(bench.pools(), ["a", "b"], "for {text:?}");
        assert_eq!(bench.problems().len(), expected, "for {text:?}");
        assert!(bench.folder.complete(), "everything was understood once");
    }
    fs::write(bench.dir.join("pools.yaml"), b"\xff\xfe").unwrap();
    assert_eq!(bench.read(), 0);
    assert_eq!(bench.problems(), ["pools.yaml: is not UTF-8 text: save it as UTF-8"]);
    assert_eq!(bench.write("pools.yaml", &pool("b", "10.1.0.0/24")), 1);
    assert_eq!((bench.pools(), bench.problems().len()), (vec!["b"], 0));
}

#[test]
fn a_bad_pool_of_metallb_keeps_what_it_was_and_lets_the_others_change() {
    let config = |first: &str, second: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config, namespace: metallb-system}}\ndata:\n  config: |\n    \
             address-pools:\n    - {{name: a, protocol: layer2, addresses: [{first}]}}\n    \
             - {{name: b, protocol: layer2, addresses: [{second}]}}\n"
        )
    };
    let mut bench = Bench::new(&[("config.yaml", &config("10.0.0.0/24", "10.1.0.0/24"))]);
    assert_eq!(bench.write("config.yaml", &config("10.0.0.0/25", "10.1.0.0/33")), 1);
    let ranges: Vec<_> =
        bench.cluster.pools.values().map(|pool| pool.addresses[0].to_string()).collect();
    assert_eq!(ranges, ["10.0.0.0/25", "10.1.0.0/24"]);
    assert_eq!(
        bench.problems(),
        [
            "config.yaml: ConfigMap metallb-system/config: data.config.address-pools[1].addresses[0]: \"10.1.0.0/33\" is neither a CIDR (192.0.2.0/28) nor a range (192.0.2.1-192.0.2.9)"
        ]
    );
}

#[test]
fn a_file_cut_at_any_point_is_survived() {
    let whole =
        format!("{}---\n{}---\n{}", pool("a", "10.0.0.0/24"), service("web"), service("db"));
    let mut bench = Bench::new(&[("all.yaml", &whole)]);
    for end in (0..whole.len()).rev() {
        bench.write("all.yaml", &whole[..end]);
    }
    bench.write("all.yaml", &whole);
    assert_eq!((bench.pools().len(), bench.services().len(), bench.problems().len()), (1, 2, 0));
}

#[test]
fn a_picture_with_holes_says_so() {
    let mut bench = Bench::new(&[("a.yaml", &service("a")), ("b.yaml", "kind: [")]);
    assert!(bench.cluster.synced && !bench.folder.complete());
    bench.write("b.yaml", &service("b"));
    assert!(bench.folder.complete());
}

#[test]
fn a_file_that_is_still_being_written_changes_nothing() {
    let mut bench =
        Bench::new(&[("web.yaml", &format!("{}---\n{}", service("web"), service("db")))]);
    let mut file = File::create(bench.dir.join("web.yaml")).unwrap();
    // The first half would be a complete file without `db`; the second does not parse.
    for (half, text) in [("first", service("web")), ("second", "---\nkind: ".to_owned())] {
        file.write_all(text.as_bytes()).unwrap();
        assert_eq!(bench.read(), 0);
        // A listing of the whole folder does not read the file either.
        fs::create_dir(bench.dir.join(half)).unwrap();
        assert_eq!(bench.read(), 0);
        assert_eq!(bench.services(), ["default/db", "default/web"]);
        assert_eq!(
            bench.problems(),
            [
                "web.yaml: is still being written: close it, or write a temporary file and rename it; until then its previous content stays active"
            ]
        );
    }
    file.set_len(0).unwrap();
    drop(file);
    assert_eq!(bench.write("web.yaml", &service("web")), 1);
    assert_eq!((bench.services(), bench.problems().len()), (vec!["default/web".to_owned()], 0));
}

#[test]
fn a_deleted_file_takes_its_objects_with_it_and_a_renamed_one_does_not() {
    let mut bench = Bench::new(&[("web.yaml", &service("web")), ("db.yml", &service("db"))]);
    fs::rename(bench.dir.join("web.yaml"), bench.dir.join("renamed.yaml")).unwrap();
    assert_eq!(bench.read(), 0);
    fs::remove_file(bench.dir.join("db.yml")).unwrap();
    assert_eq!(bench.read(), 1);
    assert_eq!(bench.services(), ["default/web"]);
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let mut bench = Bench::new(&[]);
    fs::write(bench.dir.join("../secret.yaml"), service("secret")).unwrap();
    fs::create_dir(bench.dir.join("../elsewhere")).unwrap();
    symlink("../secret.yaml", bench.dir.join("web.yaml")).unwrap();
    symlink("../elsewhere", bench.dir.join("more")).unwrap();
    fs::create_dir(bench.dir.join("trigger")).unwrap();
    assert_eq!(bench.read(), 0);
    let says =
        "is a link out of the folder, which is not followed: put the file itself into the folder";
    assert_eq!(bench.problems(), [format!("more: {says}"), format!("web.yaml: {says}")]);
}

#[test]
fn a_mounted_config_map_is_read_through_its_links_and_renewed() {
    let mut bench = Bench::new(&[]);
    let version = |name: &str, text: &str| {
        fs::create_dir(bench.dir.join(name)).unwrap();
        fs::write(bench.dir.join(name).join("pool.yaml"), text).unwrap();
        symlink(name, bench.dir.join("..data_tmp")).unwrap();
        fs::rename(bench.dir.join("..data_tmp"), bench.dir.join("..data")).unwrap();
    };
    version("..1", &pool("a", "10.0.0.0/24"));
    symlink("..data/pool.yaml", bench.dir.join("pool.yaml")).unwrap();
    bench.read();
    assert_eq!(bench.pools(), ["a"]);
    fs::create_dir(bench.dir.join("..2")).unwrap();
    fs::write(bench.dir.join("..2/pool.yaml"), pool("b", "10.0.0.0/24")).unwrap();
    symlink("..2", bench.dir.join("..data_tmp")).unwrap();
    fs::rename(bench.dir.join("..data_tmp"), bench.dir.join("..data")).unwrap();
    bench.read();
    assert_eq!((bench.pools(), bench.problems().len()), (vec!["b"], 0));
    // The file is changed in place, behind the link.
    assert_eq!(bench.write("..2/pool.yaml", &pool("c", "10.0.0.0/24")), 2);
    assert_eq!(bench.pools(), ["c"]);
}

#[test]
fn of_two_files_with_one_object_the_one_in_force_stays() {
    let mut bench =
        Bench::new(&[("b.yaml", &pool("p", "10.0.0.0/24")), ("c.yaml", &pool("p", "10.1.0.0/24"))]);
    let range = |bench: &Bench| bench.cluster.pools["p"].addresses[0].to_string();
    assert_eq!(range(&bench), "10.0.0.0/24", "at start the first by path");
    assert_eq!(bench.write("a.yaml", &pool("p", "10.2.0.0/24")), 0);
    let says = "AddressPool p: pool p is also in b.yaml, which stays active: remove one of the two";
    assert_eq!(bench.problems(), [format!("a.yaml: {says}"), format!("c.yaml: {says}")]);
    assert_eq!(bench.write("b.yaml", &pool("p", "10.3.0.0/24")), 1);
    assert_eq!(range(&bench), "10.3.0.0/24");
    fs::remove_file(bench.dir.join("b.yaml")).unwrap();
    assert_eq!(bench.read(), 1);
    assert_eq!(range(&bench), "10.2.0.0/24");
}

#[test]
fn a_component_is_a_plugin_named_by_its_file() {
    let mut bench = Bench::new(&[("layer2.wasm", "\0asm"), ("Layer 2.wasm", "\0asm")]);
    let Component::File { path, digest } = &bench.cluster.plugins["layer2"].component else {
        panic!("it is in a file")
    };
    assert_eq!(
        (path, digest[..] == Sha256::digest(b"\0asm")[..]),
        (&bench.dir.join("layer2.wasm"), true)
    );
    assert_eq!(
        bench.problems(),
        [
            "Layer 2.wasm: plugin Layer 2: the file name is not a plugin name: rename it with lower-case letters, digits and '-' only"
        ]
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p, labels: {outrigger.dev/plugin: layer2}}\nbinaryData: {plugin.wasm: AGFzbQ==}\n";
    assert_eq!(bench.write("map.yaml", map), 0);
    assert_eq!(
        bench.problems()[1],
        "map.yaml: ConfigMap default/p: plugin layer2 is also in layer2.wasm, which stays active: remove one of the two"
    );
    File::create(bench.dir.join("layer2.wasm")).unwrap();
    assert_eq!(bench.read(), 0, "an empty component changes nothing");
    File::create(bench.dir.join("big.wasm")).unwrap().set_len((64 << 20) + 1).unwrap();
    bench.read();
    assert_eq!(bench.problems()[1], "big.wasm: is larger than 64 MiB: make it smaller");
}

#[test]
fn json_lists_and_folders_below_are_read() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "LoadBalancer"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"type": 7}}]}"#;
    let mut bench =
        Bench::new(&[("all.json", list), ("bad.json", "{"), (".hidden.yaml", "kind: [")]);
    assert_eq!(bench.services(), ["default/web"]);
    assert_eq!(
        bench.problems(),
        [
            "all.json: Service default/db: invalid type: integer `7`, expected a string: correct it",
            "bad.json: EOF while parsing an object at line 1 column 1: correct it",
        ]
    );
    fs::create_dir_all(bench.dir.join("a/b")).unwrap();
    fs::write(bench.dir.join("a/b/pool.yaml"), pool("p", "10.0.0.0/24")).unwrap();
    assert_eq!(bench.read(), 1);
    fs::remove_dir_all(bench.dir.join("a")).unwrap();
    assert_eq!(bench.read(), 1);
    assert_eq!(bench.pools(), [""; 0]);
}

#[test]
fn a_folder_that_vanishes_leaves_everything_as_it_was() {
    let mut bench = Bench::new(&[("web.yaml", &service("web"))]);
    let away = bench.dir.with_file_name("away");
    fs::rename(&bench.dir, &away).unwrap();
    assert_eq!(bench.read(), 0);
    let problems = bench.folder.problems();
    assert_eq!(problems[0].file, bench.dir.display().to_string());
    assert!(problems[0].message.ends_with("its last content stays active"), "{problems:?}");
    assert_eq!(bench.services(), ["default/web"]);
    fs::write(away.join("db.yaml"), service("db")).unwrap();
    fs::rename(&away, &bench.dir).unwrap();
    assert_eq!(bench.read(), 1);
    assert_eq!((bench.services().len(), bench.problems().len()), (2, 0));
}
