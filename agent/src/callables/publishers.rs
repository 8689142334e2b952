//! Artefacts and fingerprints: which files a build's results are made of.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Class, Datum, Field, Object, jdk};
use jenkins_remoting::channel::{Reply, Throwable};

use super::answer::text;
use super::{Entry, FileCall, Job, Run};
use crate::files::Cancel;
use crate::files::fingerprint::{Record, find_records};
use crate::files::glob::DirectoryScanner;

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: LIST_FILES, run: Run::FileAsync(list_artifacts) },
    Entry {
        class: "org.jenkinsci.plugins.workflow.steps.ArtifactArchiverStepExecution$ListFiles",
        run: Run::File(list_for_archive_step),
    },
    Entry { class: "hudson.tasks.Fingerprinter$FindRecords", run: Run::File(find_fingerprints) },
];

const LIST_FILES: &str = "hudson.tasks.ArtifactArchiver$ListFiles";

/// The descriptor of `invoke` where it returns a map, as it stands in the class file.
const RETURNS_MAP: &[u8] = b"(Ljava/io/File;Lhudson/remoting/VirtualChannel;)Ljava/util/Map;";

/// How long a controller may take to show a class; it does so from memory.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

static RECORD: Class = Class::new("hudson.tasks.Fingerprinter$Record", 1).fields(&[
    Field::bool("produced"),
    Field::string("fileName"),
    Field::string("md5sum"),
    Field::string("relativePath"),
]);

fn name(path: &Path) -> Datum {
    text(path.to_string_lossy())
}

/// The answer is a set of names since the core's SECURITY-3930 fix and a map of names to themselves
/// before. The request looks the same in both, so the class file is asked.
fn list_artifacts<'a>(file: &'a FileCall<'a>) -> BoxFuture<'a, Reply> {
    async move {
        let job = match find_artifacts(file) {
            Ok(job) => job,
            Err(throwable) => return Reply::throw(throwable),
        };
        let names = match file.blocking(job).await {
            Ok(names) => names,
            Err(throwable) => return Reply::throw(throwable),
        };
        if wants_map(file).await {
            let entries = names.into_iter().map(|name| (text(name.clone()), text(name)));
            Reply::value(jdk::hash_map(entries.collect()))
        } else {
            Reply::value(jdk::hash_set(names.into_iter().map(text).collect()))
        }
    }
    .boxed()
}

async fn wants_map(file: &FileCall<'_>) -> bool {
    let known = &file.connection.artifacts_as_map;
    if let Some(map) = known.get() {
        return *map;
    }
    let Some(loader) = file.call.loader_of(file.callable) else { return false };
    let image = file.call.channel().fetch_class(loader, LIST_FILES);
    match tokio::time::timeout(LOOK_UP_LIMIT, image).await {
        Ok(Ok(image)) => {
            let map = image.windows(RETURNS_MAP.len()).any(|window| window == RETURNS_MAP);
            *known.get_or_init(|| map)
        }
        // A controller of today returns a set.
        failed => {
            tracing::debug!(?failed, "the controller does not show the class {LIST_FILES}");
            false
        }
    }
}

fn find_artifacts(
    file: &FileCall<'_>,
) -> Result<impl FnOnce(&Cancel) -> Result<Vec<String>, Throwable> + Send + 'static, Throwable> {
    let path = file.path.clone();
    let callable = file.callable;
    let includes: Option<String> = callable.read_field("includes")?;
    let excludes: Option<String> = callable.read_field("excludes")?;
    let scanner = DirectoryScanner::new(
        includes.as_deref(),
        excludes.as_deref(),
        callable.read_field("defaultExcludes")?,
        callable.read_field("caseSensitive")?,
        // Controllers before 2.308 always follow them.
        callable.read_field("followSymlinks").unwrap_or(true),
    );
    Ok(move |cancel: &Cancel| {
        let found = scanner.scan(&path, cancel)?;
        Ok(found.files.iter().map(|path| path.to_string_lossy().into_owned()).collect())
    })
}

fn list_for_archive_step(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let includes: Option<String> = file.callable.read_field("includes")?;
    let excludes: Option<String> = file.callable.read_field("excludes")?;
    let scanner = DirectoryScanner::new(includes.as_deref(), excludes.as_deref(), true, true, true);
    Ok(Box::new(move |cancel| {
        let found = scanner.scan(&path, cancel)?;
        let entries = found.files.iter().map(|path| (name(path), name(path)));
        Ok(jdk::hash_map(entries.collect()))
    }))
}

fn find_fingerprints(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let callable = file.callable;
    let targets: Option<String> = callable.read_field("targets")?;
    let excludes: Option<String> = callable.read_field("excludes")?;
    let timestamp = callable.read_field("buildTimestamp")?;
    let scanner = DirectoryScanner::new(
        targets.as_deref(),
        excludes.as_deref(),
        callable.read_field("defaultExcludes").unwrap_or(true),
        callable.read_field("caseSensitive").unwrap_or(true),
        true,
    );
    Ok(Box::new(move |cancel| {
        let records = find_records(&path, &scanner, timestamp, cancel)?;
        Ok(jdk::array_list(records.into_iter().map(record).collect()))
    }))
}

fn record(record: Record) -> Datum {
    Object::new(&RECORD)
        .with("produced", record.produced)
        .with("fileName", record.file_name)
        .with("md5sum", record.md5sum)
        .with("relativePath", record.relative_path.to_string_lossy().into_owned())
        .into()
}
