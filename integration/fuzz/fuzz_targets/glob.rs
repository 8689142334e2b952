//! Any pattern against any path, and over a small tree: an answer, in bounded time.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pilotfish_agent::files::Cancel;
use pilotfish_agent::files::glob::{DirectoryScanner, Pattern, split_masks};

/// Made once and never written again.
static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = std::env::temp_dir().join("pilotfish-fuzz-glob");
    for file in ["a/b/c.txt", "a/b/d.txt", "a/.git/x", "e/f.tmp", "g", "aaa/aaa/aaa/aaa"] {
        let file = root.join(file);
        let made = file.parent().map(std::fs::create_dir_all).transpose();
        made.and_then(|_| std::fs::write(&file, b"")).expect("a small tree");
    }
    root
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Includes, excludes and a path, on a line each.
    let mut lines = text.splitn(3, '\n');
    let includes = lines.next().unwrap_or_default();
    let excludes = lines.next();
    let path = Path::new(lines.next().unwrap_or("a/b/c.txt"));
    for mask in split_masks(includes).into_iter().flatten() {
        let pattern = Pattern::parse(&mask);
        let exactly = pattern.matches(path, true);
        assert!(!exactly || pattern.matches(path, false), "ignoring case must match no less");
    }
    let scanner =
        DirectoryScanner::new(Some(includes), excludes, bytes.len() % 2 == 0, true, false);
    let found = scanner.scan(&TREE, &Cancel::new()).expect("the tree can be listed");
    assert!(found.files.len() <= 6, "{found:?}");
    assert!(found.files.iter().all(|file| TREE.join(file).is_file()), "{found:?}");
});
