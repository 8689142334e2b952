//! Ant's patterns by table, by a naive reference, and on real directories.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{DirectoryScanner, Pattern, VALIDATE_BOUND, split_masks, validate_ant_file_mask};
use crate::files::{Cancel, JavaClass};

#[test]
fn patterns_match_as_in_ant() {
    let table: &[(&str, &str, bool)] = &[
        ("**", "", true),
        ("**", "a/b", true),
        ("**/*", "a", true),
        ("*", "a", true),
        ("*", "a/b", false),
        ("a/**", "a", true),
        ("a/**", "a/b/c", true),
        ("a/", "a/b/c", true),
        ("a\\*.txt", "a/x.txt", true),
        ("**/CVS/*", "CVS/Repository", true),
        ("**/CVS/*", "org/apache/CVS/Entries", true),
        ("**/CVS/*", "org/apache/CVS/foo/bar/Entries", false),
        ("org/apache/**/CVS/*", "org/apache/CVS/Entries", true),
        ("org/apache/**/CVS/*", "org/apache/jakarta/tools/ant/CVS/Entries", true),
        ("org/apache/**/CVS/*", "org/apache/CVS/foo/bar/Entries", false),
        ("**/test/**", "test", true),
        ("**/test/**", "a/test/b", true),
        ("**/test/**", "a/tests/b", false),
        ("**/a/**/b/**/c", "a/x/b/b/y/c", true),
        ("**/a/**/b/**/c", "a/c/b", false),
        ("**/*.txt", "x.txt", true),
        ("a**b", "aXXb", true),
        ("a**b", "a/b", false),
        ("?.c", "é.c", true),
        ("?.c", "😀.c", false),
        ("??.c", "😀.c", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b", "ab", true),
        ("*a*b", "ba", false),
        ("/a/*", "a/b", false),
        ("./a", "a", false),
        ("", "a", false),
        ("A", "a", false),
    ];
    for (pattern, path, expected) in table {
        assert_eq!(
            Pattern::parse(pattern).matches(Path::new(path), true),
            *expected,
            "{pattern} on {path}"
        );
    }
    assert!(Pattern::parse("**/ÄB*").matches(Path::new("x/äbc"), false));
    assert!(!Pattern::parse("**/ÄB*").matches(Path::new("x/äbc"), true));
}

fn reference_name(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|skip| reference_name(rest, &name[skip..])),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, left)| (*c == '?' || c == n) && reference_name(rest, left)),
    }
}

fn reference_path(tokens: &[Vec<char>], parts: &[Vec<char>]) -> bool {
    match tokens.split_first() {
        None => parts.is_empty(),
        Some((token, rest)) if token == &['*', '*'] => {
            (0..=parts.len()).any(|skip| reference_path(rest, &parts[skip..]))
        }
        Some((token, rest)) => parts
            .split_first()
            .is_some_and(|(part, left)| reference_name(token, part) && reference_path(rest, left)),
    }
}

fn chars(path: &str) -> Vec<Vec<char>> {
    path.split('/').filter(|part| !part.is_empty()).map(|part| part.chars().collect()).collect()
}

proptest! {
    #[test]
    fn agrees_with_the_reference(
        pattern in proptest::collection::vec("(\\*\\*|[ab*?]{1,5}|é\\*)", 1..6),
        path in proptest::collection::vec("[abé]{1,6}", 0..6),
    ) {
        let (pattern, path) = (pattern.join("/"), path.join("/"));
        let expected = reference_path(&chars(&pattern), &chars(&path));
        prop_assert_eq!(Pattern::parse(&pattern).matches(Path::new(&path), true), expected, "{} on {}", pattern, path);
    }

    #[test]
    fn never_panics(pattern in ".*", path in proptest::collection::vec(any::<u8>(), 0..40), case in any::<bool>()) {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        let _ = Pattern::parse(&pattern).matches(&path, case);
        let _ = split_masks(&pattern);
    }
}

#[test]
fn lists_are_split_at_commas_only() {
    assert_eq!(split_masks(" a b , c,,d "), Some(vec!["a b".into(), "c".into(), "d".into()]));
    assert_eq!(split_masks(""), None);
    assert_eq!(split_masks(","), None);
    assert_eq!(split_masks(" "), Some(vec![]));
}

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        Self(dir)
    }

    fn files(&self, set: &DirectoryScanner) -> Vec<String> {
        let result = set.scan(self.0.path(), &Cancel::new()).unwrap();
        result.files.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    fn glob(&self, includes: &str, excludes: Option<&str>) -> Vec<String> {
        self.files(&DirectoryScanner::new(Some(includes), excludes, true, true, true))
    }

    fn explain(&self, masks: &str) -> Option<String> {
        validate_ant_file_mask(self.0.path(), masks, VALIDATE_BOUND, true, &Cancel::new()).unwrap()
    }
}

#[test]
fn selects_files() {
    let tree =
        Tree::new(&["a.txt", "d/b.txt", "d/e/c.log", "d/.git/config", "d/x~", "out", "T/U.txt"]);
    assert_eq!(tree.glob("**", None), ["T/U.txt", "a.txt", "d/b.txt", "d/e/c.log", "out"]);
    assert_eq!(tree.glob("d/**", Some("d/e/**")), ["d/b.txt"]);
    assert_eq!(tree.glob("**/*.txt, **/*.log", Some("**/b.*")), ["T/U.txt", "a.txt", "d/e/c.log"]);
    assert_eq!(tree.glob("d/b.txt,a.txt,nope", None), ["a.txt", "d/b.txt"]);
    assert_eq!(tree.glob("d/", None), ["d/b.txt", "d/e/c.log"]);
    // A walk that starts at a plain file takes it only by its exact name.
    assert!(tree.glob("out/**", None).is_empty());
    assert_eq!(tree.glob("out", None), ["out"]);
    assert!(tree.glob("d//b.txt", None).is_empty());
    assert!(tree.glob("./a.txt", None).is_empty());
    assert!(tree.glob("../*", None).is_empty());
    assert!(tree.glob("/**", None).is_empty());
    assert!(tree.glob("d", None).is_empty());
    let all = DirectoryScanner::new(Some("d/**"), None, false, true, true);
    assert_eq!(tree.files(&all), ["d/.git/config", "d/b.txt", "d/e/c.log", "d/x~"]);
    let any_case = DirectoryScanner::new(Some("t/u.TXT,D/*"), None, true, false, true);
    assert_eq!(tree.files(&any_case), ["T/U.txt", "d/b.txt"]);
    let dirs = DirectoryScanner::new(Some("**"), None, true, true, true)
        .scan(tree.0.path(), &Cancel::new())
        .unwrap()
        .dirs;
    assert_eq!(dirs, ["", "T", "d", "d/e"].map(PathBuf::from));
}

#[test]
fn follows_links_with_measure() {
    let tree = Tree::new(&["real/f"]);
    let root = tree.0.path();
    symlink("real", root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("real/f", root.join("file")).unwrap();
    assert_eq!(tree.glob("**", None), ["dangling", "file", "link/f", "real/f"]);
    assert!(tree.glob("dangling", None).is_empty());
    let no_links = DirectoryScanner::new(Some("**,link/*"), None, true, true, false);
    assert_eq!(tree.files(&no_links), ["real/f"]);
    // A link to its own directory: the original and five rounds.
    symlink(".", root.join("real/self")).unwrap();
    assert_eq!(tree.glob("real/**", None).len(), 6);
}

#[test]
fn keeps_names_that_are_not_utf_8() {
    let tree = Tree::new(&[]);
    let name = PathBuf::from(std::ffi::OsString::from_vec(b"a\xffb".to_vec()));
    fs::write(tree.0.path().join(&name), "").unwrap();
    let set = DirectoryScanner::new(Some("a?b"), None, true, true, true);
    assert_eq!(set.scan(tree.0.path(), &Cancel::new()).unwrap().files, [name]);
}

#[test]
fn reports_bad_directories_and_cancellation() {
    let tree = Tree::new(&["f"]);
    let set = DirectoryScanner::new(Some("**"), None, true, true, true);
    let missing = tree.0.path().join("no");
    let error = set.scan(&missing, &Cancel::new()).unwrap_err();
    assert_eq!(
        (error.class(), error.to_string()),
        (JavaClass::Build, format!("{} does not exist.", missing.display()))
    );
    let file = tree.0.path().join("f");
    let error = set.scan(&file, &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not a directory.", file.display()));
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(set.scan(tree.0.path(), &cancel).unwrap_err().is_cancelled());
}

#[test]
fn explains_as_jenkins() {
    let tree = Tree::new(&["src/main/App.java", "top.txt"]);
    let doubt = |mask: &str, better: &str| {
        Some(format!(
            "‘{mask}’ doesn’t match anything, but ‘{better}’ does. Perhaps that’s what you mean?"
        ))
    };
    assert_eq!(tree.explain("top.txt, src/**"), None);
    assert_eq!(tree.explain("none/**"), doubt("none/**", "**"));
    assert_eq!(tree.explain("x/src/main/*.java"), doubt("x/src/main/*.java", "src/main/*.java"));
    assert_eq!(tree.explain("main/App.java"), doubt("main/App.java", "src/main/App.java"));
    assert_eq!(
        tree.explain("TOP.txt").unwrap(),
        "‘TOP.txt’ doesn’t match anything because it is treated case sensitively. \
         You can deactivate case sensitivity to get matches"
    );
    assert_eq!(
        tree.explain("top.txt src/**").unwrap(),
        "Whitespace can no longer be used as the separator. Please Use ‘,’ as the separator instead."
    );
    assert_eq!(
        tree.explain("src/nope").unwrap(),
        "‘src/nope’ doesn’t match anything: ‘src’ exists but not ‘src/nope’"
    );
    assert_eq!(
        tree.explain("no/pe").unwrap(),
        "‘no/pe’ doesn’t match anything: even ‘no’ doesn’t exist"
    );
    assert_eq!(tree.explain("nope").unwrap(), "‘nope’ doesn’t match anything");
    assert_eq!(
        tree.explain("~/x").unwrap(),
        "‘~’ is only supported in a Unix shell and nowhere else."
    );
    let many: Vec<String> = (0..100).map(|n| format!("many/{n}")).collect();
    let many = Tree::new(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let error =
        validate_ant_file_mask(many.0.path(), "**/nope", 50, true, &Cancel::new()).unwrap_err();
    assert_eq!(error.class(), JavaClass::NoMatchesWithinBound);
    assert_eq!(error.to_string(), "no matches found within 50");
}
