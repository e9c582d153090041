//! File system of the image: the daemon and the few files it needs. One layer, in a fixed order, with fixed dates and owners.
use std::io::Write;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// Uid 65532 has this name in distroless images; the controller runs as it.
const PASSWD: &str =
    "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";

/// Layer, compressed and uncompressed.
pub struct Layer {
    /// The tar archive; its digest is the layer's identity.
    pub tar: Vec<u8>,
    /// The compressed archive, which is stored in the image.
    pub gzip: Vec<u8>,
}

enum Content<'a> {
    Folder,
    File(&'a [u8]),
}

/// Returns all entries of the image, sorted so that a folder precedes its content.
fn entries<'a>(program: &'a [u8], certificates: &'a [u8]) -> Vec<(&'static str, u32, Content<'a>)> {
    use Content::{File, Folder};
    let mut entries = vec![
        ("etc/", 0o755, Folder),
        ("etc/group", 0o644, File(GROUP.as_bytes())),
        ("etc/passwd", 0o644, File(PASSWD.as_bytes())),
        ("etc/ssl/", 0o755, Folder),
        ("etc/ssl/certs/", 0o755, Folder),
        ("etc/ssl/certs/ca-certificates.crt", 0o644, File(certificates)),
        ("outrigger", 0o755, File(program)),
        ("tmp/", 0o1777, Folder),
        ("var/", 0o755, Folder),
        ("var/cache/", 0o755, Folder),
        ("var/cache/outrigger/", 0o755, Folder),
        ("var/lib/", 0o755, Folder),
        ("var/lib/outrigger/", 0o755, Folder),
    ];
    entries.sort_by_key(|(path, ..)| *path);
    entries
}

/// Builds the layer.
pub fn layer(program: &[u8], certificates: &[u8], date: u64) -> Result<Layer> {
    let mut builder = Builder::new(Vec::new());
    for (path, mode, content) in entries(program, certificates) {
        let (kind, content) = match content {
            Content::Folder => (EntryType::Directory, &[][..]),
            Content::File(content) => (EntryType::Regular, content),
        };
        append(&mut builder, path, (kind, mode), content, date)?;
    }
    let tar = builder.into_inner()?;
    // The header has no name and no date, which is the default of GzBuilder.
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(&tar)?;
    Ok(Layer { gzip: encoder.finish()?, tar })
}

/// Appends one entry whose header holds nothing specific to this machine.
pub fn append(
    builder: &mut Builder<Vec<u8>>,
    path: &str,
    (kind, mode): (EntryType, u32),
    content: &[u8],
    date: u64,
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(date);
    header.set_size(content.len() as u64);
    header.set_cksum();
    Ok(builder.append(&header, content)?)
}
