//! Tests with images of a small file that is not a real program.
use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;

use super::*;

const DATE: u64 = 1_790_000_000;

fn archive_of(program: &[u8], date: u64) -> archive::Archive {
    let layer = layer::layer(program, b"certificates", date).unwrap();
    archive::archive(NAME, &layer, date).unwrap()
}

/// Maps the path of every entry to (mode, uid, mtime, content).
fn entries(tar: &[u8]) -> BTreeMap<String, (u32, u64, u64, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let header = entry.header();
        let (mode, uid, mtime) =
            (header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, (mode, uid, mtime, content))
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn the_same_program_and_date_give_the_same_octets() {
    let (first, second) = (archive_of(b"program", DATE), archive_of(b"program", DATE));
    assert!(first.bytes == second.bytes);
    assert_eq!(first.digest, second.digest);
    assert_ne!(first.digest, archive_of(b"another", DATE).digest);
    assert_ne!(first.digest, archive_of(b"program", DATE + 1).digest);
}

#[test]
fn nothing_of_this_machine_is_in_it() {
    let layer = layer::layer(b"program", b"certificates", DATE).unwrap();
    for (path, (_, uid, mtime, _)) in
        entries(&layer.tar).into_iter().chain(entries(&archive_of(b"program", DATE).bytes))
    {
        assert_eq!((uid, mtime), (0, DATE), "{path}");
    }
    // RFC 1952 section 2.3: no flags, no date.
    assert_eq!(layer.gzip[3..8], [0; 5]);
}

#[test]
fn it_holds_the_program_certificates_users_and_empty_folders() {
    let layer = layer::layer(b"program", b"certificates", DATE).unwrap();
    let entries = entries(&layer.tar);
    let look = |path: &str| {
        let (mode, _, _, content) = &entries[path];
        format!("{mode:o} {}", String::from_utf8_lossy(content))
    };
    assert_eq!(look("outrigger"), "755 program");
    assert_eq!(look("etc/ssl/certs/ca-certificates.crt"), "644 certificates");
    assert!(look("etc/passwd").contains("nonroot:x:65532:65532:"));
    assert!(look("etc/group").contains("nonroot:x:65532:"));
    assert_eq!(look("tmp/"), "1777 ");
    for folder in ["var/lib/outrigger/", "var/cache/outrigger/"] {
        assert_eq!(look(folder), "755 ");
    }
    let paths: Vec<_> = entries.keys().collect();
    assert!(paths.is_sorted());
}

#[test]
fn it_is_named_so_that_ctr_images_import_finds_the_name() {
    let archive = archive_of(b"program", DATE);
    verify::read_again(&archive.bytes, &archive.digest).unwrap();
    let index: Value = serde_json::from_slice(&entries(&archive.bytes)["index.json"].3).unwrap();
    let manifest = &index["manifests"][0];
    for annotation in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] {
        assert_eq!(manifest["annotations"][annotation], NAME);
    }
    assert_eq!(manifest["platform"]["os"], "linux");
    assert_eq!(manifest["digest"], archive.digest.as_str());
}

#[test]
fn an_archive_whose_content_was_changed_is_noticed() {
    let mut archive = archive_of(b"program", DATE);
    let place = archive.bytes.windows(12).position(|part| part == b"\"Entrypoint\"").unwrap();
    archive.bytes[place + 1] = b'e';
    let error = verify::read_again(&archive.bytes, &archive.digest).unwrap_err();
    assert!(error.to_string().contains("does not match its digest"), "{error:#}");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_735_689_600, "2025-01-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(date::rfc3339(seconds), expected);
    }
}

#[test]
fn a_program_that_needs_a_dynamic_linker_is_refused_with_the_fix() {
    let elf = |kind: u32| {
        let mut program = vec![0; 64];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[32] = 64; // e_phoff
        program[54] = 56; // e_phentsize
        program[56] = 1; // e_phnum
        program.extend(kind.to_le_bytes());
        program
    };
    let check = |program: &[u8]| {
        binary::ensure_static(Path::new("x"), program).map_err(|error| error.to_string())
    };
    assert_eq!(check(&elf(1)), Ok(()));
    let dynamic = check(&elf(3)).unwrap_err();
    assert!(
        dynamic.starts_with("x is linked dynamically: build it in this repository"),
        "{dynamic}"
    );
    let none = "x is not a 64-bit ELF program";
    for program in [&b"#!/bin/sh"[..], &[], &elf(3)[..40]] {
        assert_eq!(check(program), Err(none.to_owned()));
    }
}
