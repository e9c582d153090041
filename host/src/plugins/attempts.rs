//! Records on disk which build of a plugin is being tried, so that a daemon that crashed because of one does not try it
//! again. Stored in the cache of compiled plugins, which outlives a container that crashes.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// Folder with one file for each plugin of which a build was tried.
#[derive(Debug)]
pub(super) struct Attempts(PathBuf);

impl Attempts {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Records a note about the plugin, which is on the disk when this returns.
    pub(super) fn note(&self, plugin: &str, words: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut file = File::create(self.0.join(plugin))?;
        file.write_all(words.as_bytes())?;
        file.sync_all()
    }

    /// Returns the last note about the plugin.
    pub(super) fn noted(&self, plugin: &str) -> Option<String> {
        fs::read_to_string(self.0.join(plugin)).ok()
    }

    /// Removes the note about the plugin: none of its builds is being tried any more.
    pub(super) fn end(&self, plugin: &str) {
        // A missing file needs no removal; a mark that cannot be removed refers to an attempt that does not occur
        // again.
        let _ = fs::remove_file(self.0.join(plugin));
    }
}
