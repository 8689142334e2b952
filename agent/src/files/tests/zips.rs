//! Zip out and in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::{everything, put, snapshot, temp};
use crate::files::attributes::set_last_modified;
use crate::files::links::LinkCheck;
use crate::files::scanner::DirScanner;
use crate::files::zip_in::{extract_zip, extract_zip_stream};
use crate::files::zip_out::write_zip;
use crate::files::{Cancel, JavaClass, LinkPolicy};

fn pack(dir: &Path, scanner: &DirScanner, prefix: Option<&str>) -> (u32, Vec<u8>) {
    let mut out = Vec::new();
    let none = LinkCheck::default();
    let count = write_zip(dir, scanner, &none, &none, prefix, &mut out, &Cancel::new()).unwrap();
    (count, out)
}

#[test]
fn round_trip_keeps_modes_and_times() {
    let ((_a, from), (_b, to)) = (temp(), temp());
    put(&from, "a/run.sh", b"#!/bin/sh\n");
    put(&from, "a/big", &vec![9; 300_000]);
    put(&from, "ä", b"");
    fs::set_permissions(from.join("a/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    set_last_modified(&from.join("a/run.sh"), 1_234_567_891_000).unwrap();
    let (count, bytes) = pack(&from, &everything(), None);
    assert_eq!(count, 3);
    assert_eq!(extract_zip_stream(&bytes[..], &to, LinkPolicy::Never, &Cancel::new()).unwrap(), 3);
    assert_eq!(snapshot(&from), snapshot(&to));
}

#[test]
fn links_are_followed_and_names_prefixed() {
    let ((_a, from), (_b, to)) = (temp(), temp());
    put(&from, "ws/f", b"1");
    symlink("f", from.join("ws/l")).unwrap();
    symlink("..", from.join("ws/loop")).unwrap();
    let (count, bytes) = pack(&from.join("ws"), &DirScanner::Full, Some("pre"));
    let archive = to.join("x.zip");
    fs::write(&archive, bytes).unwrap();
    extract_zip(&archive, &to.join("out"), LinkPolicy::Never, &Cancel::new()).unwrap();
    assert_eq!(fs::read(to.join("out/pre/ws/l")).unwrap(), b"1");
    assert!(count < 12, "a link back up is not followed for ever: {count}");
    if let Ok(output) = Command::new("python3").args(["-m", "zipfile", "-t"]).arg(&archive).output()
    {
        assert!(output.status.success(), "{output:?}");
    }
    if let Ok(output) = Command::new("unzip").arg("-t").arg(&archive).output() {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn bad_archives_are_named() {
    let (_b, to) = temp();
    let error = extract_zip_stream(&b"no zip at all"[..], &to, LinkPolicy::Never, &Cancel::new())
        .unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (JavaClass::Zip, "archive is not a ZIP archive")
    );
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("a/../../x", zip::write::SimpleFileOptions::default()).unwrap();
    let archive = to.join("evil.zip");
    fs::write(&archive, zip.finish().unwrap().into_inner()).unwrap();
    let error =
        extract_zip(&archive, &to.join("out"), LinkPolicy::Never, &Cancel::new()).unwrap_err();
    let expected = "contains illegal file name that breaks out of the target directory: a/../../x";
    assert_eq!(error.to_string(), format!("Zip {} {expected}", archive.display()));
    assert!(!to.join("x").exists());
}
