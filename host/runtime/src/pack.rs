//! The size of a component, uncompressed and in each of the compressions in which it may be delivered. Knows nothing of
//! size limits.
use std::io::Write as _;

use crate::inspect::LoadError;
use crate::unpack::unpack;

/// The sizes of one component in bytes, for each compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Uncompressed.
    pub plain: usize,
    /// With gzip: as delivered if it was compressed so, otherwise as by `gzip -9`.
    pub gzip: usize,
    /// With zstd: as delivered if it was compressed so, otherwise at the fastest level, so that `zstd -19` does better.
    pub zstd: usize,
}

/// Returns the sizes of a component that may already be compressed.
///
/// # Errors
/// Returns [`LoadError::Unpack`] or [`LoadError::Bomb`] if the data cannot be decompressed.
pub fn sizes(delivered: &[u8]) -> Result<Sizes, LoadError> {
    let plain = unpack(delivered)?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let gzip = gzip.write_all(&plain).and_then(|()| gzip.finish());
    let gzip = gzip.expect("a Vec takes whatever is written").len();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = || ruzstd::encoding::compress_to_vec(&plain[..], level).len();
    Ok(match delivered {
        [0x1f, 0x8b, ..] => Sizes { plain: plain.len(), gzip: delivered.len(), zstd: zstd() },
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Sizes { plain: plain.len(), gzip, zstd: delivered.len() },
        _ => Sizes { plain: plain.len(), gzip, zstd: zstd() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_gets_smaller_and_what_is_packed_keeps_its_size() {
        let plain = b"\0asm and so on ".repeat(1000);
        let made = sizes(&plain).expect("good");
        assert_eq!(made.plain, plain.len());
        assert!(made.gzip < plain.len() / 10 && made.zstd < plain.len() / 10, "{made:?}");
        let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        stored.write_all(&plain).expect("into memory");
        let packed = stored.finish().expect("into memory");
        let known = sizes(&packed).expect("good");
        assert_eq!(known, Sizes { gzip: packed.len(), ..made });
        assert!(known.gzip > known.plain, "it is not packed better than it was delivered");
    }
}
