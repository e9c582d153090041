//! Images from static programs: the archive of `docker save`, which containerd imports, written without any image tool. The
//! same files give the same archive.
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use tar::{Builder, Header};

use crate::cluster::digest;
use crate::namespace::feed;
use crate::product;

/// Content of an image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Name, such as `docker.io/local/web:1`.
    pub name: String,
    /// Command that a container runs.
    pub entrypoint: Vec<String>,
    /// Local files, and their paths in the image.
    pub files: Vec<(PathBuf, String)>,
}

impl Image {
    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read, or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let mut layer = Builder::new(Vec::new());
        for (source, target) in &self.files {
            let content =
                fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            append(&mut layer, target.trim_start_matches('/'), &content, 0o755)?;
        }
        let layer = layer.into_inner()?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
        })
        .to_string();
        let config_name = format!("{}.json", digest(config.as_bytes()));
        let layer_name = format!("{}/layer.tar", digest(&layer));
        let manifest =
            json!([{ "Config": config_name, "RepoTags": [self.name], "Layers": [layer_name] }]);
        let file =
            File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
        let mut image = Builder::new(file);
        append(&mut image, &config_name, config.as_bytes(), 0o644)?;
        append(&mut image, &layer_name, &layer, 0o644)?;
        append(&mut image, "manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        image.into_inner()?;
        Ok(())
    }
}

fn append(archive: &mut Builder<impl Write>, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, content).with_context(|| format!("cannot pack {name}"))
}

/// Compiles a program of `tests/kubernetes` statically into a folder.
///
/// # Errors
/// Returns the error of the compiler.
pub fn compile(name: &str, folder: &Path) -> Result<PathBuf> {
    let program = folder.join(name);
    let source = product::root().join("tests/kubernetes").join(format!("{name}.c"));
    let mut command = Command::new("gcc");
    command.args(["-static", "-O", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
    feed(&mut command, b"").context("gcc and libc6-dev are needed")?;
    Ok(program)
}

/// Compiles a program of `tests/kubernetes` and writes the archive of an image with it alone into a folder.
///
/// # Errors
/// When the compiler fails, with its output, or the archive cannot be written.
pub fn of_program(name: &str, program: &str, folder: &Path) -> Result<PathBuf> {
    let archive = folder.join(format!("{program}.tar"));
    let target = format!("/{program}");
    let files = vec![(compile(program, folder)?, target.clone())];
    Image { name: name.to_owned(), entrypoint: vec![target], files }.write(&archive)?;
    Ok(archive)
}
