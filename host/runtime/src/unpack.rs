//! Compressed components, recognised by their first bytes. The output is never larger than the largest allowed plugin,
//! so that a decompression bomb costs no more than a plugin. Knows nothing of where the bytes came from.
use std::borrow::Cow;
use std::io::Read;

use crate::inspect::{LARGEST, LoadError};

/// Returns the component in the delivered bytes, which may be compressed with gzip (RFC 1952) or zstd (RFC 8878).
///
/// # Errors
/// Returns [`LoadError::Unpack`] for damaged data and [`LoadError::Bomb`] for data that becomes too large.
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    match bytes {
        [0x1f, 0x8b, ..] => read("gzip", flate2::read::MultiGzDecoder::new(bytes)).map(Cow::Owned),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let kind = "zstd";
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes)
                .map_err(|error| LoadError::Unpack { kind, reason: error.to_string() })?;
            read(kind, decoder).map(Cow::Owned)
        }
        plain => Ok(Cow::Borrowed(plain)),
    }
}

fn read(kind: &'static str, from: impl Read) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    from.take(LARGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| LoadError::Unpack { kind, reason: error.to_string() })?;
    if bytes.len() > LARGEST {
        return Err(LoadError::Bomb { kind });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        parts.for_each(|part| encoder.write_all(&part).expect("into memory"));
        encoder.finish().expect("into memory")
    }

    fn zstd(from: impl Read) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(from, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn both_kinds_give_back_what_was_packed_and_plain_bytes_stay() {
        let plain = b"\0asm and so on ".repeat(1000);
        for packed in [gzip([plain.clone()].into_iter()), zstd(&plain[..]), plain.clone()] {
            assert_eq!(unpack(&packed).expect("good"), plain);
        }
    }

    #[test]
    fn a_bomb_is_refused_and_not_unpacked_to_its_end() {
        let mebibytes = (LARGEST >> 20) + 1;
        let gzip = gzip((0..mebibytes).map(|_| vec![0; 1 << 20]));
        assert!(gzip.len() < 1 << 20, "it would fit into a ConfigMap");
        assert_eq!(unpack(&gzip), Err(LoadError::Bomb { kind: "gzip" }));
        let zstd = zstd(std::io::repeat(0).take((mebibytes as u64) << 20));
        assert!(zstd.len() < 1 << 20, "it would fit into a ConfigMap");
        assert_eq!(unpack(&zstd), Err(LoadError::Bomb { kind: "zstd" }));
    }

    #[test]
    fn damaged_data_is_said_to_be_damaged() {
        for (kind, packed) in
            [("gzip", gzip([vec![7; 5000]].into_iter())), ("zstd", zstd(&[7; 5000][..]))]
        {
            for end in [4, packed.len() / 2, packed.len() - 1] {
                match unpack(&packed[..end]) {
                    Err(LoadError::Unpack { kind: said, .. }) => assert_eq!(said, kind),
                    other => panic!("{kind} cut at {end}: {other:?}"),
                }
            }
        }
    }
}
