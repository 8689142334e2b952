//! Nothing that an archive says makes it write outside its directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::archives::{tar, unpack};
use super::{put, snapshot, temp};
use crate::files::tar_header::kind;
use crate::files::tar_in::extract_tar;
use crate::files::zip_in::extract_zip_stream;
use crate::files::{Cancel, Compression, LinkPolicy};

type Entry = (String, u8, String);

fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just(".".into()),
        Just("a".into()),
        Just("b".into()),
        Just("l".into())
    ];
    (any::<bool>(), proptest::collection::vec(part, 1..5), any::<bool>()).prop_map(
        |(root, parts, slash)| {
            let (before, after) = (if root { "/" } else { "" }, if slash { "/" } else { "" });
            format!("{before}{}{after}", parts.join("/"))
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let kinds = prop_oneof![
        Just(kind::FILE),
        Just(kind::SYMLINK),
        Just(kind::SYMLINK),
        Just(kind::HARD_LINK),
        Just(kind::DIRECTORY),
        any::<u8>(),
    ];
    let target = prop_oneof![
        name(),
        Just("..".to_owned()),
        Just("../outside".into()),
        Just("../outside/victim".into())
    ];
    (name(), kinds, target)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tar_entries_stay_inside(entries in proptest::collection::vec(entry(), 1..8), follow in any::<bool>()) {
        let (_guard, root) = temp();
        put(&root, "outside/victim", b"untouched");
        let dir = root.join("in");
        let list: Vec<(&str, u8, &str, &[u8])> = entries
            .iter()
            .map(|(name, kind, link)| (name.as_str(), *kind, link.as_str(), if *kind == kind::FILE { &b"evil"[..] } else { b"" }))
            .collect();
        let policy = if follow { LinkPolicy::FollowExisting } else { LinkPolicy::Never };
        let bytes = tar(&list);
        let _ = extract_tar(&bytes[..], &dir, "t", Compression::None, policy, &Cancel::new());
        let _ = fs::remove_dir_all(&dir);
        let left = snapshot(&root);
        prop_assert_eq!(left.len(), 1, "{:?}", left);
        prop_assert_eq!(&left[Path::new("outside/victim")].2, b"untouched");
        prop_assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn zip_entries_stay_inside(names in proptest::collection::vec(name(), 1..6)) {
        let (_guard, root) = temp();
        put(&root, "outside/victim", b"untouched");
        let dir = root.join("in");
        fs::create_dir(&dir).unwrap();
        symlink("../outside", dir.join("l")).unwrap();
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in &names {
            if zip.start_file(name.as_str(), SimpleFileOptions::default()).is_ok() {
                zip.write_all(b"evil").unwrap();
            }
        }
        let bytes = zip.finish().unwrap().into_inner();
        let _ = extract_zip_stream(&bytes[..], &dir, LinkPolicy::Never, &Cancel::new());
        fs::remove_file(dir.join("l")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        prop_assert_eq!(snapshot(&root).len(), 1);
        prop_assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let (_guard, root) = temp();
        let _ = unpack(&bytes, &root, Compression::None);
        let _ = unpack(&[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0][..], &bytes].concat(), &root, Compression::Gzip);
        let _ = extract_zip_stream(&bytes[..], &root, LinkPolicy::Never, &Cancel::new());
    }
}

#[test]
fn refusals_are_worded_as_in_jenkins() {
    let cause = |entries: &[(&str, u8, &str, &[u8])]| {
        let (_guard, root) = temp();
        let error = unpack(&tar(entries), &root.join("in"), Compression::None).unwrap_err();
        error.cause().unwrap().to_string().replace(root.to_str().unwrap(), "ROOT")
    };
    assert_eq!(
        cause(&[("../x", kind::FILE, "", b"")]),
        "Tar st.tar.gz contains entry that escapes destination directory: ../x"
    );
    assert_eq!(
        cause(&[("l", kind::SYMLINK, "..", b""), ("l/x", kind::FILE, "", b"")]),
        "Tar st.tar.gz attempts to write to file with symlink in path: l/x"
    );
    assert_eq!(
        cause(&[("l", kind::SYMLINK, "../x", b""), ("l", kind::FILE, "", b"")]),
        "Tar 'st.tar.gz' entry 'l' would write through existing symlink: ROOT/in/l"
    );
    assert_eq!(
        cause(&[("./", kind::FILE, "", b""), (".", kind::FILE, "", b"")]),
        "Tar st.tar.gz contains non-directory entry that resolves to base directory: ."
    );
}

#[test]
fn existing_links_are_followed_on_request_only() {
    let (_guard, root) = temp();
    fs::create_dir(root.join("disk")).unwrap();
    fs::create_dir(root.join("ws")).unwrap();
    symlink("../disk", root.join("ws/build")).unwrap();
    let bytes = tar(&[("build/x", kind::FILE, "", b"1")]);
    assert!(unpack(&bytes, &root.join("ws"), Compression::None).is_err());
    let policy = LinkPolicy::FollowExisting;
    extract_tar(&bytes[..], &root.join("ws"), "t", Compression::None, policy, &Cancel::new())
        .unwrap();
    assert_eq!(fs::read(root.join("disk/x")).unwrap(), b"1");
    // The base itself may be reached through a link in either case.
    assert_eq!(
        unpack(&tar(&[("y", kind::FILE, "", b"2")]), &root.join("ws/build"), Compression::None)
            .unwrap(),
        1
    );
    assert_eq!(fs::read(root.join("disk/y")).unwrap(), b"2");
}
