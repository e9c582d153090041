//! Bad input: each kind gives one message that names the file and the error, stops only its object, and costs no answer.
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, LIMIT, VIP, service};
use crate::guests::Guests;
use crate::story::Story;
use crate::wait;

/// Kind of bad input.
#[derive(Debug, Clone, Copy)]
pub struct BadInput {
    /// Description of the error.
    pub what: &'static str,
    /// File in the folder of manifests.
    pub file: &'static str,
    /// Words that one message must contain, besides the file's name.
    pub words: &'static [&'static str],
    write: fn(&Cluster, &Guests, &str) -> Result<()>,
}

/// All kinds, except a file that is still being written, which has a scenario of its own because it resolves by itself.
pub const ALL: [BadInput; 10] = [
    BadInput {
        what: "a manifest that does not parse",
        file: "broken.yaml",
        words: &["line"],
        write: |cluster, _, file| cluster.put(file, b"kind: Service\n  metadata: [\n"),
    },
    BadInput {
        what: "a pool that overlaps another",
        file: "overlap.yaml",
        words: &["overlap", "192.168.1.24"],
        write: |cluster, _, file| {
            cluster.put(file, pool("overlap", "192.168.1.248/29", "").as_bytes())
        },
    },
    BadInput {
        what: "a pool with an invalid address",
        file: "no-address.yaml",
        words: &["no-address", "10.0.0.300"],
        write: |cluster, _, file| {
            cluster.put(file, pool("no-address", "10.0.0.300-1", "").as_bytes())
        },
    },
    BadInput {
        what: "an unknown plugin",
        file: "unknown-plugin.yaml",
        words: &["unknown-plugin", "nonesuch"],
        write: |cluster, _, file| {
            let allocator = "  allocator:\n    plugin: nonesuch\n";
            cluster.put(file, pool("unknown-plugin", "10.7.0.0/24", allocator).as_bytes())
        },
    },
    BadInput {
        what: "a .wasm file that is not a component",
        file: "layer2.wasm",
        words: &["component"],
        // A core module: magic and version 1.
        write: |cluster, _, file| cluster.put(file, b"\0asm\x01\0\0\0"),
    },
    BadInput {
        what: "a component of the other world",
        file: "layer2.wasm",
        words: &["announcer"],
        write: |cluster, guests, file| cluster.put(file, &read(&guests.lowest_free)?),
    },
    BadInput {
        what: "a component of another version",
        file: "layer2.wasm",
        words: &["@9.1.0", "0.1"],
        write: |cluster, guests, file| {
            cluster.put(file, &patched(&guests.layer2, &[("@0.1.0", "@9.1.0")])?)
        },
    },
    BadInput {
        what: "a component that imports WASI",
        file: "layer2.wasm",
        words: &["wasi:"],
        write: |cluster, guests, file| {
            let wasi = [("outrigger:plugin/log@0.1.0", "wasi:random/insecure@0.2.0")];
            cluster.put(file, &patched(&guests.layer2, &wasi)?)
        },
    },
    BadInput {
        what: "a truncated component",
        file: "layer2.wasm",
        words: &[],
        write: |cluster, guests, file| {
            let bytes = read(&guests.layer2)?;
            cluster.put(file, &bytes[..bytes.len() / 2])
        },
    },
    BadInput {
        what: "a symlink to a file outside the folder",
        file: "outside.yaml",
        words: &["link"],
        write: |cluster, _, file| {
            let outside = cluster.lab.folder().join("outside.yaml");
            fs::write(&outside, service("outside", ""))?;
            symlink(outside, cluster.manifest(file)).context("cannot link")
        },
    },
];

/// Applies each bad input in turn, while the client sends requests, and repairs it afterwards.
///
/// # Errors
/// When an answer was lost, another object stopped, or no message appeared.
pub fn all(cluster: &mut Cluster, guests: &Guests, story: &Story) -> Result<()> {
    let prober = cluster.probe()?;
    cluster.settled(&prober, None)?;
    for (number, bad) in ALL.iter().enumerate() {
        story.say(bad.what);
        one(cluster, guests, bad, number).with_context(|| bad.what)?;
    }
    ensure!(
        cluster.addresses("default", "outside")?.is_empty(),
        "a Service outside the folder got an address"
    );
    half_written(cluster, guests).context("a file still being written")?;
    cluster.settled(&prober, None)?;
    cluster.nothing_lost(&prober.finish()?)
}

fn one(cluster: &Cluster, guests: &Guests, bad: &BadInput, number: usize) -> Result<()> {
    let before = cluster.said()?;
    (bad.write)(cluster, guests, bad.file)?;
    let words: Vec<_> = bad.words.iter().chain([&bad.file]).copied().collect();
    cluster.await_message(&before, &words)?;
    let name = format!("beside-{number}");
    cluster.create_service(&name)?;
    let body = cluster.get(VIP.into())?;
    ensure!(body == "n1", "the answer is from {body}");
    cluster.remove(bad.file)?;
    cluster.remove(&format!("service-{name}.yaml"))?;
    cluster.await_silence_about(bad.file)
}

/// Writes a plugin in two halves: the first half is bad input, and the complete file is loaded.
fn half_written(cluster: &Cluster, guests: &Guests) -> Result<()> {
    let bytes = read(&guests.layer2_other)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let before = cluster.said()?;
    let mut file = File::create(cluster.manifest("layer2.wasm"))?;
    file.write_all(first)?;
    file.flush()?;
    cluster.await_message(&before, &["layer2.wasm"])?;
    file.write_all(second)?;
    drop(file);
    cluster.await_plugin("layer2", &crate::cluster::digest(&bytes))
}

/// Checks that a new leader that cannot read the status of one Service serves the others and allocates no address until it can:
/// that address could be the one it allocates.
///
/// # Errors
/// When another Service gets an address too early, or the same one.
pub fn unreadable_status(cluster: &mut Cluster) -> Result<()> {
    let held = cluster.create_service("first")?;
    let file = cluster.status_file("default", "first");
    let status = fs::read(&file).with_context(|| format!("no {}", file.display()))?;
    cluster.stop(0)?;
    fs::write(&file, "status: {")?;
    cluster.put("second.yaml", service("second", "").as_bytes())?;
    cluster.start(0)?;
    wait::until("the leader reports that it waits", LIMIT, || {
        let log = cluster.daemon(0)?.log();
        Ok(log.contains("no address is allocated before this is fixed").then_some(()))
    })?;
    cluster.settled(&cluster.probe()?, None).context("the other Services are not served")?;
    ensure!(cluster.addresses("default", "second")?.is_empty(), "an address was assigned");
    fs::write(&file, status)?;
    let given = cluster.await_address("default", "second")?;
    ensure!(given != held, "{given} was assigned twice");
    let kept = cluster.addresses("default", "first")?;
    ensure!(kept == [held], "the first Service had {held} and has {kept:?}");
    Ok(())
}

fn pool(name: &str, addresses: &str, more: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: AddressPool\nmetadata:\n  name: {name}\nspec:\n  addresses:\n  \
         - {addresses}\n{more}"
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("no plugin {}", path.display()))
}

/// Returns a component with names replaced by others of the same length, which keeps it well-formed.
fn patched(path: &Path, replacements: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = read(path)?;
    for (old, new) in replacements {
        ensure!(old.len() == new.len(), "{old} and {new} differ in length");
        let places: Vec<_> = bytes
            .windows(old.len())
            .enumerate()
            .filter(|(_, window)| *window == old.as_bytes())
            .map(|(at, _)| at)
            .collect();
        ensure!(!places.is_empty(), "{} does not contain {old}", path.display());
        for at in places {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    }
    Ok(bytes)
}
