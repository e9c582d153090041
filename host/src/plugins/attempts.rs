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

    /// Notes that this attempt begins, so that it is on the disk when this returns.
    pub(super) fn begin(&self, plugin: &str, attempt: u32) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut file = File::create(self.0.join(plugin))?;
        file.write_all(attempt.to_string().as_bytes())?;
        file.sync_all()
    }

    /// The attempt that was begun and not ended.
    pub(super) fn begun(&self, plugin: &str) -> Option<u32> {
        fs::read_to_string(self.0.join(plugin)).ok()?.parse().ok()
    }

    /// No candidate of this plugin is tried any more.
    pub(super) fn end(&self, plugin: &str) {
        // What is not there needs no removal; a mark that stays speaks of an attempt that does not come again.
        let _ = fs::remove_file(self.0.join(plugin));
    }
}
