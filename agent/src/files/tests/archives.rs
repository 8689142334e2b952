//! Tar out and in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{everything, glob, put, snapshot, temp};
use crate::files::attributes::set_last_modified;
use crate::files::links::LinkCheck;
use crate::files::scanner::DirScanner;
use crate::files::tar_header::{Header, kind};
use crate::files::tar_in::extract_tar;
use crate::files::tar_out::write_tar;
use crate::files::{Cancel, Compression, FileError, JavaClass, LinkPolicy};

pub(super) fn pack(dir: &Path, scanner: &DirScanner, compression: Compression) -> (u32, Vec<u8>) {
    let mut out = Vec::new();
    let count =
        write_tar(dir, scanner, &LinkCheck::default(), compression, &mut out, &Cancel::new())
            .unwrap();
    (count, out)
}

pub(super) fn unpack(bytes: &[u8], dir: &Path, compression: Compression) -> Result<u64, FileError> {
    extract_tar(bytes, dir, "st.tar.gz", compression, LinkPolicy::Never, &Cancel::new())
}

/// A tar of the given entries, ended properly.
pub(super) fn tar(entries: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, link, data) in entries {
        let size = data.len() as u64;
        let header = Header {
            name: name.as_bytes(),
            mode: 0o644,
            size,
            modified: 1000,
            kind: *kind,
            link: link.as_bytes(),
        };
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn sample(root: &Path) {
    put(root, "d/f1", &[b'x'; 2000]);
    put(root, "d/e/x.txt", b"hi");
    put(root, "d/empty", b"");
    put(root, &format!("d/{}/end.txt", "long".repeat(40)), b"long name");
    put(root, "d/umlaut-ä", b"u");
    fs::set_permissions(root.join("d/e/x.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    set_last_modified(&root.join("d/f1"), 1_000_000_000_000).unwrap();
    symlink("x.txt", root.join("d/e/lnk")).unwrap();
    symlink("t/".repeat(80), root.join("d/far")).unwrap();
    symlink("gone", root.join("d/dangling")).unwrap();
}

#[test]
fn round_trip_keeps_modes_times_and_links() {
    for compression in [Compression::None, Compression::Gzip] {
        let ((_a, from), (_b, to)) = (temp(), temp());
        sample(&from);
        let (count, bytes) = pack(&from, &everything(), compression);
        assert_eq!(count, 8);
        let target = to.join("made/on/the/way");
        assert_eq!(unpack(&bytes, &target, compression).unwrap(), 8);
        assert_eq!(snapshot(&from), snapshot(&target));
    }
}

#[test]
fn layout_is_that_of_the_java_agent() {
    let (_a, from) = temp();
    let (count, bytes) = pack(&from, &everything(), Compression::None);
    assert_eq!((count, bytes.len()), (0, 10240), "an empty archive is one block");
    let (_, gzip) = pack(&from, &everything(), Compression::Gzip);
    assert_eq!(gzip[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    put(&from, "b", b"1");
    put(&from, "a/c", &[7; 10_000]);
    let (_, bytes) = pack(&from, &everything(), Compression::None);
    assert_eq!(bytes.len() % 10240, 0);
    assert_eq!((&bytes[..3], &bytes[124..136]), (&b"a/c"[..], &b"00000023420 "[..]));
    assert_eq!(&bytes[512 + 10240..][..2], b"b\0");
}

#[test]
fn system_tar_reads_ours_and_we_read_its() {
    let ((_a, from), (_b, to), (_c, back)) = (temp(), temp(), temp());
    sample(&from);
    let (_, bytes) = pack(&from, &everything(), Compression::Gzip);
    fs::write(to.join("x.tgz"), bytes).unwrap();
    if Command::new("tar").arg("--version").output().is_err() {
        return;
    }
    let run = |args: &[&str], dir: &Path| {
        assert!(Command::new("tar").args(args).current_dir(dir).status().unwrap().success())
    };
    fs::create_dir(to.join("out")).unwrap();
    run(&["xpzf", "../x.tgz"], &to.join("out"));
    assert_eq!(snapshot(&from), snapshot(&to.join("out")));
    for format in ["--format=gnu", "--format=pax", "--format=ustar"] {
        if format == "--format=ustar" {
            // Too long for this format.
            fs::remove_file(from.join("d/far")).unwrap();
            fs::remove_dir_all(from.join("d").join("long".repeat(40))).unwrap();
            put(&from, &format!("d/{}/{}", "dir".repeat(30), "name".repeat(20)), b"split");
        }
        run(&["czf", to.join("y.tgz").to_str().unwrap(), format, "d"], &from);
        let target = back.join(format);
        unpack(&fs::read(to.join("y.tgz")).unwrap(), &target, Compression::Gzip).unwrap();
        assert_eq!(snapshot(&from), snapshot(&target), "{format}");
    }
}

#[test]
fn rust_tar_reads_ours() {
    let (_a, from) = temp();
    sample(&from);
    let (_, bytes) = pack(&from, &everything(), Compression::None);
    let mut archive = tar::Archive::new(&bytes[..]);
    let names: Vec<PathBuf> =
        archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!((names.len(), names.clone()), (8, sorted));
    assert!(names.contains(&PathBuf::from(format!("d/{}/end.txt", "long".repeat(40)))));
}

#[test]
fn scanners_name_entries_as_jenkins() {
    let (_a, from) = temp();
    put(&from, "ws/a/f", b"1");
    symlink("a", from.join("ws/link")).unwrap();
    let names = |scanner: &DirScanner| {
        let (_, bytes) = pack(&from.join("ws"), scanner, Compression::None);
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap();
        entries
            .map(|e| String::from_utf8(e.unwrap().path_bytes().into_owned()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&DirScanner::Full), ["ws/", "ws/a/", "ws/a/f", "ws/link"]);
    let blank = DirScanner::Glob {
        includes: None,
        excludes: None,
        default_excludes: true,
        no_follow_links: false,
    };
    assert_eq!(names(&blank), names(&DirScanner::Full));
    assert_eq!(names(&glob("", Some("x"))), ["a/f", "link/f"]);
    let explicit =
        DirScanner::Explicit(vec![("z/y".into(), "a/f".into()), ("l".into(), "link".into())]);
    assert_eq!(names(&explicit), ["z/y", "l"]);
    let missing = DirScanner::Explicit(vec![("z".into(), "nope".into())]);
    let failed = write_tar(
        &from,
        &missing,
        &LinkCheck::default(),
        Compression::None,
        Vec::new(),
        &Cancel::new(),
    )
    .unwrap_err();
    assert_eq!(
        (failed.class(), failed.to_string()),
        (JavaClass::NoSuchFile, from.join("nope").display().to_string())
    );
}

#[test]
fn open_options_leave_out_links_and_tmp_dirs() {
    let (_a, root) = temp();
    put(&root, "a/f", b"1");
    put(&root, "ws@tmp/secret", b"2");
    symlink("a/f", root.join("l")).unwrap();
    let check = LinkCheck {
        no_follow_links: true,
        ignore_tmp_dirs: true,
        verification_root: Some(root.clone()),
    };
    let mut out = Vec::new();
    let count =
        write_tar(&root, &everything(), &check, Compression::None, &mut out, &Cancel::new())
            .unwrap();
    assert_eq!((count, &out[..3]), (1, &b"a/f"[..]));
}

#[test]
fn existing_files_are_rewritten_and_links_replaced() {
    let (_a, to) = temp();
    put(&to, "f", b"something longer");
    put(&to, "l", b"file in the way of a link");
    fs::create_dir(to.join("full")).unwrap();
    put(&to, "full/x", b"");
    let bytes = tar(&[
        ("f", kind::FILE, "", b"new"),
        ("l", kind::SYMLINK, "f", b""),
        ("full", kind::SYMLINK, "f", b""),
        ("h", kind::HARD_LINK, "f", b""),
        ("dir/", kind::DIRECTORY, "", b""),
        ("./f2", 0, "", b"old style"),
        ("", kind::DIRECTORY, "", b""),
    ]);
    assert_eq!(unpack(&bytes, &to, Compression::None).unwrap(), 7);
    assert_eq!(fs::read(to.join("f")).unwrap(), b"new");
    assert_eq!(fs::read_link(to.join("l")).unwrap(), Path::new("f"));
    assert!(to.join("full/x").exists() && to.join("dir").is_dir());
    let (f, h) = (fs::metadata(to.join("f")).unwrap(), fs::metadata(to.join("h")).unwrap());
    assert_eq!((f.ino(), f.mtime(), f.mode() & 0o777), (h.ino(), 1000, 0o644));
    assert_eq!(fs::read(to.join("f2")).unwrap(), b"old style");
}

#[test]
fn damaged_streams_are_named() {
    let ((_a, from), (_b, to)) = (temp(), temp());
    put(
        &from,
        "f",
        &(0..200_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect::<Vec<_>>(),
    );
    let (_, gzip) = pack(&from, &everything(), Compression::Gzip);
    let error = unpack(&gzip[..gzip.len() / 2], &to, Compression::Gzip).unwrap_err();
    assert_eq!(error.to_string(), "Failed to extract st.tar.gz");
    assert_eq!(error.cause().unwrap().class(), JavaClass::Eof);
    let (_, plain) = pack(&from, &everything(), Compression::None);
    let error = unpack(&plain[..100_000], &to, Compression::None).unwrap_err();
    assert_eq!(
        error.cause().unwrap().to_string(),
        format!("unexpected EOF with {} bytes unread", 800_512 - 100_000)
    );
    let error = unpack(b"PK\x03\x04", &to, Compression::Gzip).unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), (JavaClass::Zip, "Not in GZIP format"));
    for short in [b"".as_slice(), b"P", b"\x1f"] {
        assert_eq!(unpack(short, &to, Compression::Gzip).unwrap_err().class(), JavaClass::Eof);
    }
    assert_eq!(unpack(b"", &to, Compression::None).unwrap(), 0);
    assert_eq!(unpack(&[0; 10240], &to, Compression::None).unwrap(), 0);
    let error = unpack(&[b'z'; 1024], &to, Compression::None).unwrap_err();
    assert_eq!(error.cause().unwrap().to_string(), "Error detected parsing the header");
    let error = unpack(&tar(&[("s", kind::SPARSE, "", b"")]), &to, Compression::None).unwrap_err();
    assert!(error.cause().unwrap().to_string().contains("sparse"), "{error:?}");
    let huge = Header {
        name: b"././@LongLink",
        mode: 0,
        size: 1 << 40,
        modified: 0,
        kind: kind::LONG_NAME,
        link: b"",
    };
    let error = unpack(&huge.encode(), &to, Compression::None).unwrap_err();
    assert!(error.cause().unwrap().to_string().contains("more than the"), "{error:?}");
}

#[test]
fn cancellation_stops_both_ways() {
    let ((_a, from), (_b, to)) = (temp(), temp());
    put(&from, "f", b"1");
    let (_, bytes) = pack(&from, &everything(), Compression::Gzip);
    let cancel = Cancel::new();
    cancel.cancel();
    let out = write_tar(
        &from,
        &everything(),
        &LinkCheck::default(),
        Compression::Gzip,
        Vec::new(),
        &cancel,
    );
    assert!(out.unwrap_err().is_cancelled());
    let error = extract_tar(&bytes[..], &to, "x", Compression::Gzip, LinkPolicy::Never, &cancel)
        .unwrap_err();
    assert!(error.is_cancelled(), "{error:?}");
}
