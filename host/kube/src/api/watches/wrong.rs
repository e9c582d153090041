//! What is wrong: with a watch, with an object, or with two that say the same. Must not know what follows from it.
use std::path::{Path, PathBuf};

use outrigger_core::facts::FactKey;

use super::{Kind, Watches};
use crate::problem::Problem;

impl Watches {
    /// Everything that is wrong now.
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
                format!("{why}; until it works again what was known stays in force"),
            ))
        });
        let own = self.problems.iter().flat_map(|(path, messages)| {
            messages.iter().map(move |message| api(title(path), message.clone()))
        });
        let losers = self.claims.losers().map(|(claim, winner)| {
            let message = format!(
                "{} is also in {}, which stays in force: delete one of the two",
                claim.title(),
                title(&winner.path)
            );
            api(title(&claim.path), message)
        });
        failing.chain(own).chain(losers).collect()
    }

    /// Whether [`Self::problems`] or [`Self::missing`] differ since the last call.
    pub fn differ(&mut self) -> bool {
        std::mem::take(&mut self.differ)
    }

    /// What is wrong with the object that a fact comes from.
    pub fn problem_of(&self, key: &FactKey) -> Option<String> {
        let claim = self.claims.in_force(key)?;
        Some(self.problems.get(&*claim.path)?.join("; "))
    }

    /// Pools and announcers of which nothing is known because they were never valid: kind, name and message.
    pub fn unread(&self) -> impl Iterator<Item = (&'static str, String, String)> + '_ {
        self.problems.iter().filter_map(|(path, messages)| {
            let kind =
                ["AddressPool", "Announcer"].into_iter().find(|kind| path.starts_with(kind))?;
            let name = path.file_name()?.to_string_lossy().into_owned();
            self.claims.words(path).is_empty().then(|| (kind, name, messages.join("; ")))
        })
    }

    /// What is wrong with an object from now on.
    pub(super) fn is_wrong(&mut self, path: PathBuf, problems: Vec<String>) {
        let before = self.problems.get(&path).map_or(&[][..], Vec::as_slice);
        self.differ |= before != problems;
        match problems.is_empty() {
            true => drop(self.problems.remove(&path)),
            false => drop(self.problems.insert(path, problems)),
        }
    }

    /// A watch cannot be heard, and why, or can be heard.
    pub(super) fn fails(&mut self, kind: Kind, why: Option<String>) {
        let standing = self.standing(kind);
        if standing.failing != why {
            standing.failing = why;
            self.differ = true;
        }
    }
}

/// "Service shop/web", from the path under which it claims.
pub(super) fn title(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let kind = parts.next().unwrap_or_default();
    format!("{kind} {}", parts.collect::<Vec<_>>().join("/"))
}
