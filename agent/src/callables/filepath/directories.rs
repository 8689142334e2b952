//! File callables that make, list, move and remove directories and files.

use java_object_stream::{Class, Datum, Node, Object, jdk};
use jenkins_remoting::channel::Throwable;

use super::super::answer::{file_path, text};
use super::super::{Entry, FileCall, Job, Run, unknown};
use super::contents::done;
use super::link_check;
use crate::files::glob::{DirectoryScanner, Pattern, validate_ant_file_mask};
use crate::files::transfer::{self, ListFilter};
use crate::files::{FileError, JavaClass, attributes, removal};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.FilePath$Mkdirs", run: Run::File(mkdirs) },
    Entry { class: "hudson.FilePath$Delete", run: Run::File(delete) },
    Entry { class: "hudson.FilePath$DeleteRecursive", run: Run::File(delete_recursive) },
    Entry { class: "hudson.FilePath$DeleteContents", run: Run::File(delete_contents) },
    Entry { class: "hudson.FilePath$DeleteSuffixesRecursive", run: Run::File(delete_suffixes) },
    Entry { class: "hudson.FilePath$RenameTo", run: Run::File(rename_to) },
    Entry { class: "hudson.FilePath$MoveAllChildrenTo", run: Run::File(move_all_children_to) },
    Entry { class: "hudson.FilePath$CopyToWithPermission", run: Run::File(copy_with_permission) },
    Entry { class: "hudson.FilePath$ListFilter", run: Run::File(list_filter) },
    Entry { class: "hudson.FilePath$ListGlob", run: Run::File(list_glob) },
    Entry { class: "hudson.FilePath$ValidateAntFileMask", run: Run::File(validate) },
];

static FILE_PATH_ARRAY: Class = Class::new("[Lhudson.FilePath;", 0);

fn mkdirs(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| Ok(jdk::boolean(attributes::mkdirs(&path)?))))
}

fn delete(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    done(move |cancel| removal::delete(&path, cancel))
}

fn delete_recursive(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    done(move |cancel| removal::delete_recursive(&path, cancel))
}

fn delete_contents(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    done(move |cancel| removal::delete_contents(&path, cancel))
}

fn delete_suffixes(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    done(move |cancel| removal::delete_suffixes_recursive(&path, cancel))
}

fn rename_to(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let (path, target) = (file.path.clone(), file.path_field("target")?);
    done(move |cancel| transfer::rename_to(&path, &target, cancel))
}

fn move_all_children_to(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let (path, target) = (file.path.clone(), file.path_field("target")?);
    done(move |_| transfer::move_all_children_to(&path, &target))
}

fn copy_with_permission(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let (path, target) = (file.path.clone(), file.path_field("target")?);
    done(move |cancel| transfer::copy_with_permission(&path, &target, cancel))
}

fn list_filter(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let filter = filter(file.callable.field("filter")?)?;
    Ok(Box::new(move |_| match transfer::list(&path, &filter) {
        Some(found) => Ok(jdk::array_list(found.iter().map(|path| file_path(path)).collect())),
        None => Ok(Object::new(&jdk::EMPTY_LIST).into()),
    }))
}

/// The filters of the core; any other is code that only a JVM can run.
fn filter(node: Node<'_>) -> Result<ListFilter, Throwable> {
    if node.is_null() {
        return Ok(ListFilter::All);
    }
    let class = node.class_name().unwrap_or_default();
    match class.as_ref() {
        "hudson.FilePath$DirectoryFilter" => Ok(ListFilter::Directories),
        "hudson.FilePath$OptionalDiscardingFileFilter" => {
            Ok(ListFilter::Allowed(link_check(node)?))
        }
        "hudson.FilePath$SymlinkRetainingFileFilter" => Ok(ListFilter::Symlinks(link_check(node)?)),
        other => Err(unknown::limit(&format!("run the file filter {other}"))),
    }
}

fn list_glob(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let includes: String = file.callable.read_field("includes")?;
    let excludes: Option<String> = file.callable.read_field("excludes")?;
    let default_excludes = file.callable.read_field("defaultExcludes")?;
    Ok(Box::new(move |cancel| {
        if Pattern::parse(&includes).is_absolute() {
            return Err(FileError::io(format!(
                "Expecting Ant GLOB pattern, but saw '{includes}'. See \
                 https://ant.apache.org/manual/Types/fileset.html for syntax"
            ))
            .into());
        }
        let scanner = DirectoryScanner::new(
            Some(&includes),
            excludes.as_deref(),
            default_excludes,
            true,
            true,
        );
        // `FilePath.glob` catches what Ant throws; others that scan do not.
        let found = scanner.scan(&path, cancel).map_err(|error| match error.class() {
            JavaClass::Build => error.rethrown_as(JavaClass::Io),
            _ => error,
        })?;
        let paths = found.files.iter().map(|relative| file_path(&path.join(relative))).collect();
        Ok(Datum::Array(&FILE_PATH_ARRAY, paths))
    }))
}

fn validate(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let masks: String = file.callable.read_field("fileMasks")?;
    let bound: i32 = file.callable.read_field("bound")?;
    let case_sensitive = file.callable.read_field("caseSensitive")?;
    Ok(Box::new(move |cancel| {
        let bound = u64::try_from(bound).unwrap_or(0);
        let message = validate_ant_file_mask(&path, &masks, bound, case_sensitive, cancel)?;
        Ok(message.map_or(Datum::Null, text))
    }))
}
