//! Unpacks zip archives as `hudson.FilePath#unzip` does, never outside the target directory.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use time::{Date, Month, PrimitiveDateTime, Time};
use zip::ZipArchive;
use zip::extra_fields::ExtraField;
use zip::read::ZipFile;

use super::attributes::absolutize;
use super::safe_dir::{LinkPolicy, Refused, SafeDir, components, copy_into, finish_file};
use super::temp::create_temp_file;
use super::zip_out::zip_failed;
use super::{BUFFER, Cancel, FileError, JavaClass, Result};

/// Unpacks a zip that arrives as a stream: it is kept in a temporary file first, because its index comes last
/// (`FilePath$UnzipRemote`, `$UnzipFrom`).
///
/// # Errors
/// The temporary file cannot be made or written, and those of [`extract_zip`].
pub fn extract_zip_stream<R: Read>(
    mut stream: R,
    dir: &Path,
    links: LinkPolicy,
    cancel: &Cancel,
) -> Result<u64> {
    let temporary = Temporary::new()?;
    let mut file =
        File::create(&temporary.0).map_err(|error| FileError::at(error, &temporary.0))?;
    copy_into(&mut stream, &mut file, &temporary.0, cancel)?;
    drop(file);
    extract_zip(&temporary.0, dir, links, cancel)
}

/// A file that is deleted whatever happens.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self> {
        let dir = std::env::temp_dir();
        create_temp_file("tmpzip", None, &dir).map(|name| Self(dir.join(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "temporary file not deleted");
        }
    }
}

/// Unpacks the zip file `archive` into `dir` and returns the number of entries (`FilePath$UnzipLocal`).
///
/// Modes and times are kept for files only; an entry that is a link becomes a file with the link's text, as in Java.
///
/// # Errors
/// `archive` is no zip, an entry would leave `dir`, contents are damaged; what was unpacked until then stays.
pub fn extract_zip(archive: &Path, dir: &Path, links: LinkPolicy, cancel: &Cancel) -> Result<u64> {
    let file = File::open(archive).map_err(|error| FileError::at(error, archive))?;
    let mut zip =
        ZipArchive::new(BufReader::with_capacity(BUFFER, file)).map_err(|error| match error {
            zip::result::ZipError::InvalidArchive(_) => {
                FileError::new(JavaClass::Zip, "archive is not a ZIP archive")
            }
            other => zip_failed(other),
        })?;
    let mut target = SafeDir::new(&absolutize(dir), links);
    let mut count = 0;
    for index in 0..zip.len() {
        cancel.check()?;
        let mut entry = zip.by_index(index).map_err(zip_failed)?;
        unpack(&mut entry, &mut target, archive, cancel)?;
        count += 1;
    }
    Ok(count)
}

fn unpack<R: Read>(
    entry: &mut ZipFile<'_, R>,
    target: &mut SafeDir,
    archive: &Path,
    cancel: &Cancel,
) -> Result<()> {
    let name = entry.name_raw().to_vec();
    let escapes = || {
        FileError::io(format!(
            "Zip {} contains illegal file name that breaks out of the target directory: {}",
            archive.display(),
            String::from_utf8_lossy(&name)
        ))
    };
    let refused = |refused| match refused {
        Refused::LinkInPath | Refused::LinkInPlace(_) => escapes(),
        Refused::Failed(error) => error,
    };
    let parts = components(&name).filter(|_| !name.contains(&0)).ok_or_else(escapes)?;
    if name.ends_with(b"/") || parts.is_empty() {
        return target.make_dir(&parts).map_err(refused);
    }
    let path = target.path(&parts);
    let mut file = target.create_file(&parts).map_err(refused)?;
    copy_into(entry, &mut file, &path, cancel)?;
    finish_file(&file, &path, modified(entry), entry.unix_mode().unwrap_or(0) & 0o777)
}

/// Seconds since the epoch: the exact time if the entry has it, else its DOS time taken as UTC.
fn modified<R: Read>(entry: &ZipFile<'_, R>) -> Option<i64> {
    let exact = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(stamp) => stamp.mod_time(),
        _ => None,
    });
    if let Some(seconds) = exact {
        return Some(i64::from(seconds.cast_signed()));
    }
    let dos = entry.last_modified()?;
    let date =
        Date::from_calendar_date(dos.year().into(), Month::try_from(dos.month()).ok()?, dos.day())
            .ok()?;
    let time = Time::from_hms(dos.hour(), dos.minute(), dos.second()).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}
