//! Workspace pages of the controller (`hudson.model.DirectoryBrowserSupport`, `jenkins.util.VirtualFile`).

use std::fs;
use std::path::{Path, PathBuf};

use java_object_stream::{Class, Datum, Field, Node, Object, jdk};
use jenkins_remoting::channel::{Call, Throwable};

use super::answer::text;
use super::filepath::{link_check, remote_path};
use super::{Connection, Entry, FileCall, Job, Run, unknown};
use crate::confine::check_here;
use crate::files::attributes::{is_directory, last_modified, length};
use crate::files::links::LinkCheck;
use crate::files::scanner::{Checked, DirScanner, FileVisitor};
use crate::files::transfer::{ListFilter, list};
use crate::files::{Cancel, FileError};
use crate::unix::can_read;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        class: "hudson.model.DirectoryBrowserSupport$BuildChildPaths",
        run: Run::BlockingFiles(child_paths),
    },
    Entry { class: "hudson.model.DirectoryBrowserSupport$IsAbsolute", run: Run::Now(is_absolute) },
    Entry { class: "jenkins.util.VirtualFile$Readable", run: Run::File(readable) },
    Entry { class: "jenkins.util.VirtualFile$Scanner", run: Run::File(scan) },
    Entry { class: "jenkins.util.VirtualFile$CollectFiles", run: Run::BlockingFiles(collect) },
];

/// A class until 2.5xx and a record since; the numbers of records are not compared.
static RESULT: Class = Class::new("hudson.model.DirectoryBrowserSupport$BuildChildPathsResult", 1)
    .fields(&[
        Field::bool("containsSymLink"),
        Field::bool("containsTmpDir"),
        Field::reference("glob", "Ljava/util/List;"),
    ]);
static PATH: Class = Class::new("hudson.model.DirectoryBrowserSupport$Path", 1).fields(&[
    Field::bool("isFolder"),
    Field::bool("isReadable"),
    Field::long("lastModified"),
    Field::long("size"),
    Field::string("href"),
    Field::string("title"),
]);

/// A directory of this node as `VirtualFile$FilePathVF` names it.
struct Browsed {
    directory: PathBuf,
    root: Option<PathBuf>,
}

impl Browsed {
    fn read(node: Node<'_>) -> Result<Self, Throwable> {
        let class = node.class_name().unwrap_or_default();
        if class != "jenkins.util.VirtualFile$FilePathVF" {
            return Err(unknown::limit(&format!("browse a {class}")));
        }
        let root = node.field("root")?;
        Ok(Self {
            directory: remote_path(node.field("f")?)?,
            root: if root.is_null() { None } else { Some(remote_path(root)?) },
        })
    }

    /// What pages show by default: nothing behind links, no temporary directories.
    fn shown(&self) -> LinkCheck {
        LinkCheck {
            no_follow_links: true,
            ignore_tmp_dirs: true,
            verification_root: self.root.clone(),
        }
    }
}

/// The rows of a directory's page. A directory with nothing in it but another is one row with it.
fn child_paths(_: &Connection, _: &Call, callable: Node<'_>) -> Result<Job, Throwable> {
    let browsed = Browsed::read(callable.field("cur")?)?;
    let mut asked = link_check(callable)?;
    asked.verification_root.clone_from(&browsed.root);
    Ok(Box::new(move |cancel| {
        check_here(&browsed.directory, true)?;
        let shown = browsed.shown();
        let mut children = visible(&browsed.directory, &shown);
        children.sort_by_cached_key(|path| (!path.is_dir(), collation_key(&name(path))));
        let mut rows = Vec::with_capacity(children.len());
        for child in children {
            cancel.check()?;
            rows.push(jdk::array_list(row(child, &shown, cancel)?));
        }
        let all = list(&browsed.directory, &ListFilter::All).unwrap_or_default();
        let links = list(&browsed.directory, &ListFilter::Symlinks(asked.clone()));
        let temporary = |path: &PathBuf| path.is_dir() && name(path).ends_with("@tmp");
        Ok(Object::new(&RESULT)
            .with("glob", jdk::array_list(rows))
            .with("containsSymLink", !links.unwrap_or_default().is_empty())
            .with("containsTmpDir", asked.ignore_tmp_dirs && all.iter().any(temporary))
            .into())
    }))
}

fn visible(directory: &Path, shown: &LinkCheck) -> Vec<PathBuf> {
    list(directory, &ListFilter::Allowed(shown.clone())).unwrap_or_default()
}

fn row(child: PathBuf, shown: &LinkCheck, cancel: &Cancel) -> Result<Vec<Datum>, FileError> {
    let mut href = encode(&name(&child));
    let mut row = vec![entry(&child, &href)];
    let mut current = child;
    while current.is_dir() {
        cancel.check()?;
        let mut below = visible(&current, shown);
        below.retain(|path| !name(path).starts_with('.') && name(path) != "CVS");
        match below.pop() {
            Some(only) if below.is_empty() && only.is_dir() => current = only,
            _ => break,
        }
        href = format!("{href}/{}", encode(&name(&current)));
        row.push(entry(&current, &href));
    }
    Ok(row)
}

fn entry(path: &Path, href: &str) -> Datum {
    Object::new(&PATH)
        .with("isFolder", is_directory(path))
        .with("isReadable", can_read(path))
        .with("lastModified", last_modified(path))
        .with("size", i64::try_from(length(path)).unwrap_or(i64::MAX))
        .with("href", href.to_owned())
        .with("title", name(path))
        .into()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// An order close to that of `java.text.Collator`: letters without case first, capitals last.
fn collation_key(name: &str) -> (String, Vec<bool>) {
    (name.to_lowercase(), name.chars().map(char::is_uppercase).collect())
}

/// A component of a URL's path (`hudson.Util.rawEncode`).
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!$&'()*+,-.=@_".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn is_absolute(_: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let fragment: String = callable.read_field("fragment")?;
    Ok(jdk::boolean(Path::new(&fragment).is_absolute()))
}

fn readable(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| Ok(jdk::boolean(can_read(&path)))))
}

struct Names(Vec<Datum>);

impl FileVisitor for Names {
    fn visit(&mut self, _: &Path, relative: &Path) -> Result<(), FileError> {
        self.0.push(text(relative.to_string_lossy()));
        Ok(())
    }
}

fn scan(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let includes: String = file.callable.read_field("includes")?;
    let excludes: Option<String> = file.callable.read_field("excludes")?;
    let default_excludes = file.callable.read_field("useDefaultExcludes")?;
    let check = link_check(file.callable)?;
    Ok(Box::new(move |cancel| {
        let mut names = Names(Vec::new());
        if !includes.is_empty() {
            let scanner = DirScanner::Glob {
                includes: Some(includes),
                excludes,
                default_excludes,
                no_follow_links: check.no_follow_links,
            };
            scanner.scan(&path, &mut Checked::new(&mut names, &check), cancel)?;
        }
        Ok(jdk::array_list(names.0))
    }))
}

/// The names of all files below a directory, links followed (`CollectFiles.collectFiles`).
fn collect(_: &Connection, _: &Call, callable: Node<'_>) -> Result<Job, Throwable> {
    let browsed = Browsed::read(callable.field("root")?)?;
    Ok(Box::new(move |cancel| {
        let mut names = Vec::new();
        let mut pending = vec![(browsed.directory, String::new())];
        while let Some((directory, prefix)) = pending.pop() {
            cancel.check()?;
            if prefix.len() > MAX_PREFIX {
                return Err(Throwable::io(format!("links lead in circles below {prefix}")));
            }
            for child in list(&directory, &ListFilter::All).unwrap_or_default() {
                let relative = format!("{prefix}{}", name(&child));
                match fs::metadata(&child) {
                    Ok(metadata) if metadata.is_dir() => {
                        pending.push((child, format!("{relative}/")))
                    }
                    Ok(_) => names.push(text(relative)),
                    Err(_) => {}
                }
            }
        }
        Ok(jdk::array_list(names))
    }))
}

/// The longest path that Linux can open, in bytes.
const MAX_PREFIX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_a_url() {
        assert_eq!(encode("a b#c%d.txt"), "a%20b%23c%25d.txt");
        assert_eq!(encode("ü/~"), "%C3%BC%2F%7E");
        assert_eq!(encode("a!$&'()*+,-.=@_Z9"), "a!$&'()*+,-.=@_Z9");
    }

    #[test]
    fn names_sort_without_case_first() {
        let mut names = ["b", "B", "a", "Ab", "ab"];
        names.sort_by_cached_key(|name| collation_key(name));
        assert_eq!(names, ["a", "ab", "Ab", "b", "B"]);
    }

    #[test]
    fn a_directory_with_one_directory_is_one_row() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        fs::write(root.path().join("a/b/c/one"), "").unwrap();
        fs::write(root.path().join("a/b/c/two"), "").unwrap();
        let shown = LinkCheck { no_follow_links: true, ..LinkCheck::default() };
        let row = row(root.path().join("a"), &shown, &Cancel::new()).unwrap();
        assert_eq!(row.len(), 3, "a, a/b and a/b/c");
    }
}
