//! The contents of a plugin's bytes, read without compiling or running them: world, version, imports, exports, and
//! plain messages about what is wrong. The import list of a component is exactly what it can do. Knows nothing of
//! wasmtime except how its compiled files begin.
use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

/// Largest component, in bytes: larger than any language runtime that can be a plugin (Python: 18 MiB), small enough to
/// hold.
pub(crate) const LARGEST: usize = 64 << 20;

/// The plugin interface of this host.
pub const INTERFACE: &str = "outrigger:plugin@0.1.0";
const PACKAGE: &str = "outrigger:plugin/";
/// Interfaces that only define types: importing them requires nothing from the host.
const WORDS: [&str; 9] =
    ["types", "http", "dns", "network", "status", "events", "effects", "policy", "machine"];

/// The world that a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The component decides which address a Service gets.
    Allocator {
        /// True if it exports `policy-hooks` as well.
        hooks: bool,
    },
    /// The component announces where an address is.
    Announcer,
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allocator { hooks: false } => "allocator",
            Self::Allocator { hooks: true } => "allocator-with-hooks",
            Self::Announcer => "announcer",
        })
    }
}

/// The properties of a component that are known without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the bytes, in hexadecimal.
    pub digest: String,
    /// The world it exports.
    pub world: World,
    /// The version of `outrigger:plugin` that it was built against.
    pub version: String,
    /// Everything it imports, in the file's order.
    pub imports: Vec<String>,
    /// Everything it exports, in the file's order.
    pub exports: Vec<String>,
}

/// The reason why a file cannot be a plugin, or not on this host. Each message names the problem and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is of another kind.
    #[error("{0}, not WebAssembly; deliver the .wasm file of a component")]
    NotWasm(&'static str),
    /// The end of the file is missing.
    #[error(
        "the file is truncated ({size} bytes are present); copy it again, and rename it into place when it is complete"
    )]
    Truncated {
        /// The size of the file, in bytes.
        size: usize,
    },
    /// The WebAssembly is malformed.
    #[error("damaged WebAssembly: {0}; build or copy it again")]
    Malformed(String),
    /// The file is a core module, not a component.
    #[error(
        "the file is a core module, not a component; convert it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The file is machine code, which cannot be verified.
    #[error(
        "the file is precompiled for one machine (.cwasm), which is not accepted; deliver the .wasm file it was built from"
    )]
    Precompiled,
    /// The component needs an operating system.
    #[error("imports WASI ({}), which is not available to plugins; build it without WASI: a no-WASI target, the null adapter, or --stub-wasi", .0.join(", "))]
    Wasi(Vec<String>),
    /// The component needs other imports that are not available.
    #[error("imports {}, which is not available to {world}; remove the import, or check for which host it was built", .names.join(", "))]
    UnknownImports {
        /// The imports.
        names: Vec<String>,
        /// "an allocator" or "an announcer".
        world: &'static str,
    },
    /// The file is a component, but not a plugin.
    #[error("exports neither outrigger:plugin/policy (an allocator) nor outrigger:plugin/machine (an announcer) but {}; build it against one of the worlds in wit/", listed(.0))]
    NoWorld(Vec<String>),
    /// The component exports both worlds; a plugin must export one.
    #[error(
        "exports both outrigger:plugin/policy and outrigger:plugin/machine; split it into two components"
    )]
    BothWorlds,
    /// The component was built against another version of the interface.
    #[error(
        "built against outrigger:plugin@{found}, but this host supports 0.1.x; build it against 0.1"
    )]
    Version {
        /// The version that it was built against.
        found: String,
    },
    /// The component is larger than any known plugin.
    #[error(
        "the file has {size} bytes, more than the limit of {LARGEST}; strip debug information, or choose a smaller runtime"
    )]
    TooLarge {
        /// The size, in bytes.
        size: usize,
    },
    /// The compressed data is damaged.
    #[error("damaged {kind} data: {reason}; compress it again")]
    Unpack {
        /// "gzip" or "zstd".
        kind: &'static str,
        /// The error of the decoder.
        reason: String,
    },
    /// The data is compressed and would be larger than any known plugin.
    #[error(
        "the {kind} data has more than {LARGEST} bytes when decompressed, which is the limit; strip debug information, or choose a smaller runtime"
    )]
    Bomb {
        /// "gzip" or "zstd".
        kind: &'static str,
    },
    /// The exports have the names of a plugin's, but other types.
    #[error(
        "does not match the world {world} of outrigger:plugin@0.1: {reason}; build it against the WIT in wit/"
    )]
    Misfit {
        /// The world it claims.
        world: World,
        /// The error of wasmtime.
        reason: String,
    },
    /// The component fails before its first call.
    #[error("cannot be instantiated: {0}")]
    Instantiate(crate::Fault),
    /// The compiling child failed.
    #[error(transparent)]
    Compile(#[from] crate::CompileError),
}

/// Reads a component's imports and exports without compiling it.
///
/// # Errors
/// Returns a [`LoadError`] for any problem of the file itself.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    if bytes.len() > LARGEST {
        return Err(LoadError::TooLarge { size: bytes.len() });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    let Outside { imports, exports } = outside(bytes)?;
    let (world, version) = world(&exports)?;
    check_imports(&imports, world)?;
    let digest = Sha256::digest(bytes).iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(Inspection { digest, world, version, imports, exports })
}

/// The imports and exports of a component.
#[derive(Default)]
struct Outside {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Reads the outermost component; nested ones are skipped.
fn outside(bytes: &[u8]) -> Result<Outside, LoadError> {
    let mut found = Outside::default();
    let mut parser = Parser::new(0);
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (consumed, payload) = match parser.parse(rest, true) {
            Ok(wasmparser::Chunk::Parsed { consumed, payload }) => (consumed, payload),
            // More data would be needed, but there is none.
            Ok(wasmparser::Chunk::NeedMoreData(_)) => {
                return Err(LoadError::Truncated { size: bytes.len() });
            }
            Err(error) if at == 0 => return Err(not_wasm(bytes, &error)),
            Err(error) => return Err(broken(bytes, at, &error)),
        };
        at += consumed;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                return Err(LoadError::CoreModule);
            }
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                if unchecked_range.end > bytes.len() {
                    return Err(LoadError::Truncated { size: bytes.len() });
                }
                at = unchecked_range.end;
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    found.imports.push(import.map_err(malformed)?.name.name.into());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    found.exports.push(export.map_err(malformed)?.name.name.into());
                }
            }
            Payload::End(_) => return Ok(found),
            _ => {}
        }
    }
}

fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed(error.to_string())
}

/// Returns the error for a broken section: truncated if more data would complete it, otherwise malformed.
fn broken(bytes: &[u8], at: usize, error: &wasmparser::BinaryReaderError) -> LoadError {
    if error.message().contains("unexpected end") && error.offset() >= bytes.len().min(at) {
        return LoadError::Truncated { size: bytes.len() };
    }
    LoadError::Malformed(error.to_string())
}

fn not_wasm(bytes: &[u8], error: &wasmparser::BinaryReaderError) -> LoadError {
    let what = match bytes {
        [] => "an empty file",
        [b'\0', b'a', b's', b'm', rest @ ..] if rest.len() >= 4 => {
            return LoadError::Malformed(error.to_string());
        }
        [b'\0', b'a', b's', b'm', ..] => return LoadError::Truncated { size: bytes.len() },
        [0x1f, 0x8b, ..] => "a gzip file",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd file",
        [0x7f, b'E', b'L', b'F', ..] => "a native program (ELF)",
        _ if bytes
            .iter()
            .take(64)
            .all(|octet| octet.is_ascii_graphic() || octet.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => "some other binary file",
    };
    LoadError::NotWasm(what)
}

/// Returns the interface and the version of a name like `outrigger:plugin/policy@0.1.0`.
fn ours(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

/// Returns true if this host supports a version. Matches like the component model's linker: any 0.1 release, no
/// pre-releases.
fn spoken(version: &str) -> bool {
    version.strip_prefix("0.1.").is_some_and(|patch| patch.parse::<u64>().is_ok())
}

fn world(exports: &[String]) -> Result<(World, String), LoadError> {
    let version_of = |wanted: &str| {
        exports
            .iter()
            .filter_map(|name| ours(name))
            .find(|(name, _)| *name == wanted)
            .map(|found| found.1)
    };
    let (world, version) = match (version_of("policy"), version_of("machine")) {
        (Some(_), Some(_)) => return Err(LoadError::BothWorlds),
        (Some(version), None) => {
            (World::Allocator { hooks: version_of("policy-hooks").is_some() }, version)
        }
        (None, Some(version)) => (World::Announcer, version),
        (None, None) => return Err(LoadError::NoWorld(exports.to_vec())),
    };
    if !spoken(version) {
        let found = if version.is_empty() { "(no version)" } else { version };
        return Err(LoadError::Version { found: found.into() });
    }
    Ok((world, version.into()))
}

fn check_imports(imports: &[String], world: World) -> Result<(), LoadError> {
    let given = |name: &str| match ours(name) {
        Some(("log", _)) => true,
        Some(("pool", _)) => matches!(world, World::Allocator { .. }),
        Some((words, _)) => WORDS.contains(&words),
        None => false,
    };
    let wasi: Vec<_> = imports.iter().filter(|name| name.starts_with("wasi:")).cloned().collect();
    if !wasi.is_empty() {
        return Err(LoadError::Wasi(wasi));
    }
    if let Some((_, version)) =
        imports.iter().filter_map(|name| ours(name)).find(|(_, version)| !spoken(version))
    {
        return Err(LoadError::Version { found: version.into() });
    }
    let names: Vec<_> = imports.iter().filter(|name| !given(name)).cloned().collect();
    if !names.is_empty() {
        let world = match world {
            World::Allocator { .. } => "an allocator",
            World::Announcer => "an announcer",
        };
        return Err(LoadError::UnknownImports { names, world });
    }
    Ok(())
}

fn listed(exports: &[String]) -> String {
    if exports.is_empty() { "nothing".into() } else { exports.join(", ") }
}

#[cfg(test)]
mod tests;
