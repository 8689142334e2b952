//! Single operations: attributes, removal, moves, text, listings.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{everything, put, snapshot, temp};
use crate::files::attributes::*;
use crate::files::charset::Charset;
use crate::files::fingerprint::find_records;
use crate::files::glob::DirectoryScanner;
use crate::files::links::{LinkCheck, create_symlink, is_descendant, read_link};
use crate::files::removal::*;
use crate::files::temp::*;
use crate::files::transfer::*;
use crate::files::{Cancel, JavaClass};

#[test]
fn a_missing_file_is_named_as_in_java() {
    let (_a, root) = temp();
    let path = root.join("missing.txt");
    let error = LinkCheck::default().open(&path).unwrap_err();
    assert_eq!(error.class().name(), "java.nio.file.NoSuchFileException");
    assert_eq!((error.file(), error.detail_message()), (path.to_str(), None));
    for error in [
        write_text(Path::new("/proc/nope/x"), "x", Charset::UTF_8).unwrap_err(),
        mkdirs(Path::new("/proc/nope")).unwrap_err(),
        mkdirs(Path::new("/proc/nope/deeper/still")).unwrap_err(),
    ] {
        assert_eq!(
            (error.class(), error.to_string().as_str()),
            (JavaClass::NoSuchFile, "/proc/nope")
        );
    }
    assert_eq!((length(&path), last_modified(&path), exists(&path)), (0, 0, false));
    assert_eq!(mode(&path).unwrap_err().class(), JavaClass::NoSuchFile);
}

#[test]
fn mkdirs_meets_files_and_links() {
    let (_a, root) = temp();
    assert!(mkdirs(&root.join("a/b/c")).unwrap());
    put(&root, "f", b"");
    assert!(mkdirs(&root.join("f")).unwrap(), "a file counts as existing");
    for (below, named) in [("f/x", "f/x"), ("f/x/y", "f/x"), ("f/x/y/z", "f/x/y")] {
        let error = mkdirs(&root.join(below)).unwrap_err();
        assert_eq!(
            (error.class(), error.to_string()),
            (JavaClass::FileSystem, format!("{}: Not a directory", root.join(named).display()))
        );
    }
    symlink("gone", root.join("l")).unwrap();
    assert_eq!(mkdirs(&root.join("l")).unwrap_err().class(), JavaClass::FileAlreadyExists);
}

#[test]
fn attributes_change_and_read_back() {
    let (_a, root) = temp();
    let file = root.join("t");
    touch(&file, 1_500_000_000_123).unwrap();
    assert_eq!((length(&file), last_modified(&file)), (0, 1_500_000_000_123));
    chmod(&file, 0o640).unwrap();
    assert_eq!(mode(&file).unwrap(), 0o640);
    assert_eq!(chmod(&file, 0o4755).unwrap_err().to_string(), "Invalid mode: 2541");
    chmod(&file, 0o100_600).unwrap();
    assert_eq!(mode(&file).unwrap(), 0o600);
    assert_eq!(touch(&file, -1).unwrap_err().class(), JavaClass::IllegalArgument);
    let missing = root.join("none");
    let text = format!("Failed to set the timestamp of {} to 5", missing.display());
    assert_eq!(set_last_modified(&missing, 5).unwrap_err().to_string(), text);
    let space = disk_space(&root);
    assert!(
        space.total >= space.free && space.free >= space.usable && space.usable > 0,
        "{space:?}"
    );
    assert_eq!(disk_space(&missing), DiskSpace::default());
    put(&root, "m", b"abc");
    assert_eq!(
        digest(&root.join("m"), &Cancel::new()).unwrap(),
        "900150983cd24fb0d6963f7d28e17f72"
    );
}

#[test]
fn paths_become_absolute_and_uris() {
    assert_eq!(
        absolutize(Path::new("/a//b/../c/")),
        Path::new("/a//b/../c").components().collect::<PathBuf>()
    );
    assert_eq!(absolutize(Path::new("/")), Path::new("/"));
    assert_eq!(absolutize(Path::new("x")), std::env::current_dir().unwrap().join("x"));
    assert_eq!(
        to_uri(Path::new("/no such/ä%#?[1]&;=@:+,$!'()*~")),
        "file:/no%20such/ä%25%23%3F%5B1%5D&;=@:+,$!'()*~"
    );
    assert_eq!(to_uri(Path::new("/tmp")), "file:/tmp/");
    assert_eq!(to_uri(Path::new("/")), "file:/");
}

#[test]
fn links_are_read_made_and_checked() {
    let (_a, root) = temp();
    put(&root, "d/f", b"1");
    let link = root.join("l");
    create_symlink(&link, Path::new("d"), &Cancel::new()).unwrap();
    create_symlink(&link, Path::new("d/."), &Cancel::new()).unwrap();
    assert_eq!(read_link(&link).unwrap().unwrap(), Path::new("d/."));
    assert_eq!(read_link(&root.join("d")).unwrap(), None);
    let error = create_symlink(&root.join("d"), Path::new("x"), &Cancel::new()).unwrap_err();
    assert_eq!(error.class(), JavaClass::DirectoryNotEmpty);
    let check = LinkCheck {
        no_follow_links: true,
        verification_root: Some(root.clone()),
        ..LinkCheck::default()
    };
    assert!(
        check.has_symlink(&link)
            && check.has_symlink(&link.join("f"))
            && !check.has_symlink(&root.join("d/f"))
    );
    assert!(!LinkCheck::default().has_symlink(&link));
    assert_eq!(check.open(&link.join("f")).unwrap_err().to_string(), "Symlinks are prohibited.");
    put(&root, "w@tmp/s", b"");
    let check = LinkCheck {
        ignore_tmp_dirs: true,
        verification_root: Some(root.clone()),
        ..LinkCheck::default()
    };
    assert_eq!(
        check.open(&root.join("w@tmp/s")).unwrap_err().to_string(),
        "Tmp directory is prohibited."
    );
    assert!(check.open(&root.join("d/f")).is_ok());

    symlink("/", root.join("out")).unwrap();
    for (child, inside) in [
        ("d/f", true),
        ("l/f", true),
        ("nope/x", true),
        ("out/etc", false),
        ("../x", false),
        ("", true),
    ] {
        assert_eq!(is_descendant(&root, child).unwrap(), inside, "{child}");
    }
    assert_eq!(is_descendant(&root, "/etc").unwrap_err().class(), JavaClass::IllegalArgument);
    assert!(!is_descendant(&root.join("none"), "x").unwrap());
}

#[test]
fn removal_takes_everything_but_what_links_point_to() {
    let (_a, root) = temp();
    put(&root, "keep/f", b"1");
    put(&root, "ws/a/b/c", b"1");
    put(&root, "ws/ro/x", b"1");
    symlink("../keep", root.join("ws/link")).unwrap();
    fs::set_permissions(root.join("ws/ro"), fs::Permissions::from_mode(0o555)).unwrap();
    put(&root, "ws@2/x", b"1");
    put(&root, "ws@tmp/x", b"1");
    put(&root, "wsx/x", b"1");
    let cancel = Cancel::new();
    delete_contents(&root.join("ws"), &cancel).unwrap();
    assert_eq!(fs::read_dir(root.join("ws")).unwrap().count(), 0);
    delete_suffixes_recursive(&root.join("ws"), &cancel).unwrap();
    symlink("keep", root.join("l")).unwrap();
    delete_recursive(&root.join("l"), &cancel).unwrap();
    delete_recursive(&root.join("ws/."), &cancel).unwrap();
    delete_recursive(&root.join("none"), &cancel).unwrap();
    delete_contents(&root.join("none"), &cancel).unwrap();
    delete(&root.join("none"), &cancel).unwrap();
    let left: Vec<_> = snapshot(&root).into_keys().collect();
    assert_eq!(left, [PathBuf::from("keep/f"), PathBuf::from("wsx/x")]);
    let deep = root.join("deep").join("d/".repeat(500));
    fs::create_dir_all(&deep).unwrap();
    delete_recursive(&root.join("deep"), &cancel).unwrap();
    assert!(!root.join("deep").exists());
}

#[test]
fn what_cannot_be_deleted_is_explained() {
    let (_a, root) = temp();
    put(&root, "d/f", b"1");
    let dir = root.join("d");
    let error = delete(&dir, &Cancel::new()).unwrap_err();
    let dir = dir.display();
    assert_eq!(
        error.to_string(),
        format!(
            "Unable to delete '{dir}'. Tried 3 times (of a maximum of 3) waiting 0.1 sec between attempts."
        )
    );
    let cause = error.cause().unwrap();
    assert_eq!(
        cause.to_string(),
        format!("Unable to remove directory {dir} with directory contents: [{dir}/f]")
    );
    assert_eq!(cause.suppressed()[0].class(), JavaClass::DirectoryNotEmpty);
    let error = delete_recursive(&root.join("d/f/below-a-file"), &Cancel::new()).unwrap_err();
    assert_eq!(error.class(), JavaClass::CompositeIo, "{error:?}");
    // Why it cannot be made writable stands for both attempts.
    assert_eq!(
        error.suppressed().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("{dir}/f/below-a-file: Not a directory")]
    );
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(delete_recursive(&root, &cancel).unwrap_err().is_cancelled());
}

#[test]
fn moves_do_not_replace() {
    let (_a, root) = temp();
    put(&root, "a/x", b"1");
    put(&root, "b", b"2");
    let cancel = Cancel::new();
    let error = rename_to(&root.join("a"), &root.join("b"), &cancel).unwrap_err();
    assert_eq!(
        (error.class(), error.file()),
        (JavaClass::FileAlreadyExists, root.join("b").to_str())
    );
    assert_eq!(
        rename_to(&root.join("no"), &root.join("c"), &cancel).unwrap_err().class(),
        JavaClass::NoSuchFile
    );
    rename_to(&root.join("a"), &root.join("c"), &cancel).unwrap();
    put(&root, "c/c", b"3");
    move_all_children_to(&root.join("c"), &root).unwrap();
    let left = snapshot(&root);
    assert_eq!(left.keys().map(|k| k.to_str().unwrap()).collect::<Vec<_>>(), ["b", "c", "x"]);
    let error = move_all_children_to(&root.join("no"), &root).unwrap_err();
    assert!(error.to_string().starts_with("Failed to rename "), "{error}");
}

#[test]
fn copies_keep_attributes() {
    let ((_a, from), (_b, to)) = (temp(), temp());
    put(&from, "d/f", b"1");
    fs::set_permissions(from.join("d/f"), fs::Permissions::from_mode(0o751)).unwrap();
    set_last_modified(&from.join("d/f"), 1_000_000_000_000).unwrap();
    symlink("f", from.join("d/l")).unwrap();
    let cancel = Cancel::new();
    assert_eq!(copy_recursive_local(&from, &everything(), &to, &cancel).unwrap(), 2);
    assert_eq!(snapshot(&from), snapshot(&to));
    assert_eq!(copy_recursive_local(&from.join("no"), &everything(), &to, &cancel).unwrap(), 0);
    copy_with_permission(&from.join("d/f"), &to.join("new/dir/g"), &cancel).unwrap();
    assert_eq!(
        (mode(&to.join("new/dir/g")).unwrap(), last_modified(&to.join("new/dir/g"))),
        (0o751, 1_000_000_000_000)
    );
    let error = copy_with_permission(&from.join("d/f"), &to.join("new"), &cancel).unwrap_err();
    assert_eq!(error.class(), JavaClass::DirectoryNotEmpty);
}

#[test]
fn text_goes_out_and_in() {
    let (_a, root) = temp();
    let file = root.join("x/y.txt");
    write_text(&file, "grün", Charset::for_name("ISO-8859-1").unwrap()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"gr\xfcn");
    assert_eq!(
        read_to_string(&file, Charset::UTF_8).unwrap_err().class(),
        JavaClass::MalformedInput
    );
    assert_eq!(read_to_string(&root, Charset::UTF_8).unwrap_err().to_string(), "Is a directory");
    let error = write_text(&root, "x", Charset::UTF_8).unwrap_err();
    assert_eq!(
        (error.class(), error.detail_message()),
        (JavaClass::FileSystem, Some("Is a directory"))
    );
    let mut out = Vec::new();
    assert_eq!(tail_gzip(&file, 2, &mut out, &Cancel::new()).unwrap(), 2);
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, b"\xfcn");
    let missing = root.join("no");
    let error = tail_gzip(&missing, 0, Vec::new(), &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} (No such file or directory)", missing.display()));
    assert_eq!(
        tail_gzip(&file, -1, Vec::new(), &Cancel::new()).unwrap_err().to_string(),
        "Negative seek offset"
    );
}

#[test]
fn temporary_names_look_like_javas() {
    let (_a, root) = temp();
    let name = create_temp_file("jenkins", Some(".sh"), &root).unwrap();
    let number = name.strip_prefix("jenkins").unwrap().strip_suffix(".sh").unwrap();
    assert!(number.parse::<u64>().is_ok(), "{name}");
    assert!(create_temp_file("abc", None, &root).unwrap().ends_with(".tmp"));
    let error = create_temp_file("ab", None, &root).unwrap_err();
    assert_eq!(error.to_string(), "Prefix string \"ab\" too short: length must be at least 3");
    assert!(create_temp_file(&"p".repeat(300), Some(".x"), &root).unwrap().len() <= 255);
    let error = create_temp_file("abc", None, &root.join("no")).unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (JavaClass::Io, "No such file or directory")
    );
    let path = create_text_temp_file(
        "script",
        Some(".sh"),
        "echo",
        Some(&root.join("new")),
        Charset::UTF_8,
    )
    .unwrap();
    assert!(path.is_absolute() && path.starts_with(root.join("new")));
    assert_eq!(fs::read(path).unwrap(), b"echo");
    assert!(root.join(create_temp_dir("dir.tmp", &root).unwrap()).is_dir());
}

#[test]
fn listings_are_filtered() {
    let (_a, root) = temp();
    put(&root, "d/f", b"");
    put(&root, "w@tmp/f", b"");
    put(&root, "f", b"");
    symlink("d", root.join("l")).unwrap();
    let names = |filter: &ListFilter| {
        let paths = list(&root, filter).unwrap();
        paths
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let check = LinkCheck {
        no_follow_links: true,
        ignore_tmp_dirs: true,
        verification_root: Some(root.clone()),
    };
    assert_eq!(names(&ListFilter::All), ["d", "f", "l", "w@tmp"]);
    assert_eq!(names(&ListFilter::Directories), ["d", "l", "w@tmp"]);
    assert_eq!(names(&ListFilter::Allowed(check.clone())), ["d", "f"]);
    assert_eq!(names(&ListFilter::Symlinks(check)), ["l"]);
    assert_eq!(list(&root.join("f"), &ListFilter::All), None);
}

#[test]
fn fingerprints_are_records() {
    let (_a, root) = temp();
    put(&root, "a/one.txt", b"abc");
    set_last_modified(&root.join("a/one.txt"), 10_000).unwrap();
    let set = DirectoryScanner::new(Some("a/**"), None, true, true, true);
    for (timestamp, produced) in [(12_000, true), (12_001, false)] {
        let records = find_records(&root, &set, timestamp, &Cancel::new()).unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.produced, record.file_name.as_str()), (produced, "one.txt"));
        assert_eq!(record.relative_path, Path::new("a/one.txt"));
        assert_eq!(record.md5sum, "900150983cd24fb0d6963f7d28e17f72");
    }
}
