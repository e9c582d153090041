//! The state of one file: its facts by object, and its problems. An object that cannot be read keeps its previous facts.
//! This module must not know other files.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_core::facts::{Component, Fact, Plugin};
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use super::content::{self, Content};
use super::manifest::{self, Document, Format};
use super::watch::Watch;
use crate::convert::{Converted, ServiceClasses, is_name};

/// The state of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// Facts by the kind and name of their object.
    objects: BTreeMap<Arc<str>, SmallVec<[Fact; 1]>>,
    /// Problems, each as the object, if known, and the message.
    pub problems: Vec<(Option<String>, String)>,
    /// True if the file contains something that was never understood.
    pub blind: bool,
    /// Path below the folder that the file resolves to; the file's own path if it is not a link.
    pub target: PathBuf,
}

impl Source {
    /// Returns the facts, each with its object.
    pub fn facts(&self) -> impl Iterator<Item = (&Arc<str>, &Fact)> {
        self.objects.iter().flat_map(|(object, facts)| facts.iter().map(move |fact| (object, fact)))
    }
}

/// Reads a file; `None` if it no longer exists.
pub(super) fn load(
    root: &Path,
    path: &Path,
    old: Option<&Source>,
    watch: &mut Watch,
    classes: &ServiceClasses,
) -> Option<Source> {
    let unread = |message: String, blind: bool| Source {
        problems: vec![(None, message)],
        blind: old.map_or(blind, |old| old.blind),
        target: path.to_owned(),
        ..old.cloned().unwrap_or_default()
    };
    let (bytes, target) = match content::read(root, path) {
        Content::Absent => return None,
        Content::Unreadable(message) => return Some(unread(message, true)),
        Content::Ignored(message) => return Some(unread(message, false)),
        Content::Bytes { bytes, target } => (bytes, follow(root, path, &target, watch)),
    };
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("wasm") => return Some(merge(old, vec![component(root, path, &bytes)], target)),
        Some("json") => Format::Json,
        _ => Format::Yaml,
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(merge(old, manifest::documents(&text, format, classes), target)),
        Err(_) => Some(unread("is not UTF-8 text: save it as UTF-8".to_owned(), true)),
    }
}

/// Watches the target of a link. In a mounted ConfigMap the target is in a directory that is not listed.
fn follow(root: &Path, path: &Path, target: &Path, watch: &mut Watch) -> PathBuf {
    let below =
        root.canonicalize().ok().and_then(|root| Some(target.strip_prefix(root).ok()?.to_owned()));
    let Some(below) = below.filter(|below| below != path) else { return path.to_owned() };
    if let (Some(dir), Some(dir_below)) = (target.parent(), below.parent())
        && let Err(error) = watch.directory(dir, dir_below)
    {
        tracing::warn!(dir = %dir.display(), %error, "a link's target is not watched");
    }
    below
}

/// Converts a component file to a plugin fact with its name and digest. The runtime inspects its content later.
fn component(root: &Path, path: &Path, bytes: &[u8]) -> Document {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let object = Some(format!("plugin {name}"));
    let file = root.join(path);
    let origin = file.display().to_string();
    let component = Component::File { path: file, digest: Sha256::digest(bytes).into() };
    let converted = match is_name(&name, 63) {
        true => Ok(Fact::from(Plugin { name, origin, component }).into()),
        false => Err("the file name is not a plugin name: rename it with lower-case letters, digits and '-' only".to_owned()),
    };
    Document { object, converted }
}

fn merge(old: Option<&Source>, documents: Vec<Document>, target: PathBuf) -> Source {
    let mut new = Source { target, ..Source::default() };
    let before = |object: &str| old.and_then(|old| old.objects.get(object)).map(SmallVec::as_slice);
    let mut nameless = false;
    for Document { object, converted } in documents {
        let Some(object) = object else {
            nameless |= converted.is_err();
            new.problems.extend(converted.err().map(|message| (None, message)));
            continue;
        };
        if new.objects.contains_key(object.as_str()) {
            let message = "is in this file twice, and the first one is used: remove one of the two";
            new.problems.push((Some(object), message.to_owned()));
            continue;
        }
        let facts = match converted {
            Ok(converted) => {
                let facts = new.settle(&object, converted, before(&object));
                // Facts that are equal to the previous ones keep the shared allocation of those already published.
                let known = before(&object).filter(|known| **known == *facts);
                known.map_or(facts, <[Fact]>::to_vec)
            }
            Err(message) => {
                new.blind |= before(&object).is_none();
                new.problems.push((Some(object.clone()), message));
                before(&object).map(<[Fact]>::to_vec).unwrap_or_default()
            }
        };
        new.objects.insert(object.into(), facts.into_iter().collect());
    }
    if nameless {
        // A nameless object could be any object that was here before, so that all of them are kept.
        new.blind |= old.is_none_or(|old| old.blind);
        for (object, facts) in old.iter().flat_map(|old| &old.objects) {
            new.objects.entry(object.clone()).or_insert_with(|| facts.clone());
        }
    }
    new
}

impl Source {
    /// Returns the facts of one object, with the previous facts in place of those that could not be converted.
    fn settle(&mut self, object: &str, converted: Converted, before: Option<&[Fact]>) -> Vec<Fact> {
        let Converted { mut facts, notes } = converted;
        for note in notes {
            self.problems.push((Some(object.to_owned()), note.message));
            let Some(key) = note.instead_of else { continue };
            let known = before.into_iter().flatten().find(|fact| fact.key() == key);
            self.blind |= known.is_none();
            facts.extend(known.cloned());
        }
        facts
    }
}
