//! Which candidate is being tried, on disk: a daemon that died of one finds it there and does not try it again. In the cache of
//! compiled plugins, which outlives a container that crashes.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// A file for each plugin that has a candidate.
#[derive(Debug)]
pub(super) struct Attempts(PathBuf);

impl Attempts {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Notes something of what is tried, so that it is on the disk when this returns.
    pub(super) fn note(&self, plugin: &str, words: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut file = File::create(self.0.join(plugin))?;
        file.write_all(words.as_bytes())?;
        file.sync_all()
    }

    /// The words that were noted last.
    pub(super) fn noted(&self, plugin: &str) -> Option<String> {
        fs::read_to_string(self.0.join(plugin)).ok()
    }

    /// No candidate of this plugin is tried any more.
    pub(super) fn end(&self, plugin: &str) {
        // What is not there needs no removal; a mark that stays speaks of an attempt that does not come again.
        let _ = fs::remove_file(self.0.join(plugin));
    }
}
