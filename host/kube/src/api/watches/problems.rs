//! Collects the problems of watches, of objects, and of objects that claim the same key. This module must not know their
//! consequences.
use std::path::{Path, PathBuf};

use outrigger_core::facts::FactKey;

use super::{Kind, Watches};
use crate::problem::Problem;

impl Watches {
    /// Returns all current problems.
    pub fn problems(&self) -> Vec<Problem> {
        let api = |object: String, message: String| Problem {
            file: String::new(),
            object: Some(object),
            message,
        };
        let failing = self.kinds.iter().filter_map(|(kind, standing)| {
            let why = standing.failing.as_ref()?;
            Some(api(
                format!("watch of {}", kind.plural()),
                format!("{why}; until it works again, the last known state stays active"),
            ))
        });
        let own = self.problems.iter().flat_map(|(path, messages)| {
            messages.iter().map(move |message| api(title(path), message.clone()))
        });
        let losers = self.claims.losers().map(|(claim, winner)| {
            let message = format!(
                "{} is also in {}, which stays active: delete one of the two",
                claim.title(),
                title(&winner.path)
            );
            api(title(&claim.path), message)
        });
        failing.chain(own).chain(losers).collect()
    }

    /// Returns true if [`Self::problems`] or [`Self::missing`] have changed since the last call.
    pub fn differ(&mut self) -> bool {
        std::mem::take(&mut self.differ)
    }

    /// Returns the problems of the object that a fact comes from; `None` if it has none.
    pub fn problem_of(&self, key: &FactKey) -> Option<String> {
        let claim = self.claims.in_force(key)?;
        Some(self.problems.get(&*claim.path)?.join("; "))
    }

    /// Returns the pools and announcers of which no facts are known because they were never valid: kind, name and message.
    pub fn unread(&self) -> impl Iterator<Item = (&'static str, String, String)> + '_ {
        self.problems.iter().filter_map(|(path, messages)| {
            let kind =
                ["AddressPool", "Announcer"].into_iter().find(|kind| path.starts_with(kind))?;
            let name = path.file_name()?.to_string_lossy().into_owned();
            self.claims.words(path).is_empty().then(|| (kind, name, messages.join("; ")))
        })
    }

    /// Sets the problems of an object.
    pub(super) fn is_wrong(&mut self, path: PathBuf, problems: Vec<String>) {
        let before = self.problems.get(&path).map_or(&[][..], Vec::as_slice);
        self.differ |= before != problems;
        match problems.is_empty() {
            true => drop(self.problems.remove(&path)),
            false => drop(self.problems.insert(path, problems)),
        }
    }

    /// Sets the reason why a watch fails; `None` if it works.
    pub(super) fn fails(&mut self, kind: Kind, why: Option<String>) {
        let standing = self.standing(kind);
        if standing.failing != why {
            standing.failing = why;
            self.differ = true;
        }
    }
}

/// Returns a title such as "Service shop/web" from the path under which an object claims facts.
pub(super) fn title(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let kind = parts.next().unwrap_or_default();
    format!("{kind} {}", parts.collect::<Vec<_>>().join("/"))
}
