//! `hudson.FilePath$Unpack`: downloads an archive and unpacks it.
//!
//! The controller sends this when a tool is installed from the network. After an exception it downloads by itself and
//! sends the contents, so the worst that a failure here costs is time and a stack trace in the log of the build.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use java_object_stream::{AccessError, Datum, Node};
use jenkins_remoting::channel::Throwable;
use jenkins_remoting::transport::{DownloadError, DownloadOptions, download, without_credentials};

use super::super::input::{BlockingInput, Waiter};
use super::super::{FileCall, Job};
use crate::confine::check_here;
use crate::files::tar_in::extract_tar;
use crate::files::zip_in::extract_zip_stream;
use crate::files::{Cancel, Compression, FileError, JavaClass, LinkPolicy};
use crate::unix;

/// What an agent follows: the directory for tools may be a link to another disk.
const LINKS: LinkPolicy = LinkPolicy::FollowExisting;

pub(super) fn unpack(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let url = external_form(file.callable.field("archive")?)?;
    let path = file.path.clone();
    let options = file.connection.context.downloads.clone();
    let waiter = Waiter::new(file.call.cancellation().clone());
    Ok(Box::new(move |cancel| {
        unpack_url(&url, &path, &options, waiter, cancel)?;
        Ok(Datum::Null)
    }))
}

/// The text of a `java.net.URL`, as `java.net.URLStreamHandler.toExternalForm` makes it; its field `file` is path and
/// query. Its stream may lack `authority`, which `URL.readResolve` then makes of host and port.
fn external_form(url: Node<'_>) -> Result<String, AccessError> {
    let mut text: String = url.read_field("protocol")?;
    text.push(':');
    let authority: Option<String> = url.read_field("authority")?;
    let host: Option<String> = url.read_field("host")?;
    let port: i32 = url.read_field("port")?;
    let authority = authority.unwrap_or_else(|| match (host.unwrap_or_default(), port) {
        (host, -1) => host,
        (host, port) => format!("{host}:{port}"),
    });
    if !authority.is_empty() {
        text.push_str("//");
        text.push_str(&authority);
    }
    text.push_str(&url.read_field::<Option<String>>("file")?.unwrap_or_default());
    if let Some(fragment) = url.read_field::<Option<String>>("ref")? {
        text.push('#');
        text.push_str(&fragment);
    }
    Ok(text)
}

/// Unpacks what the URL gives into `dir`: a zip if the URL ends so, else a tar with gzip.
///
/// As in Java, an error before the first byte comes as it is; later ones are wrapped.
fn unpack_url(
    url: &str,
    dir: &Path,
    options: &DownloadOptions,
    waiter: Waiter,
    cancel: &Cancel,
) -> Result<(), FileError> {
    let mut input = Counting { input: open(url, options, waiter)?, count: 0 };
    let unpacked = if url.ends_with(".zip") {
        extract_zip_stream(&mut input, dir, LINKS, cancel)
    } else {
        extract_tar(&mut input, dir, "input stream", Compression::Gzip, LINKS, cancel)
    };
    match unpacked {
        Ok(_) => Ok(()),
        // The unpacking may have put its own words around a cancelled read.
        Err(error) if error.is_cancelled() || cancel.is_cancelled() => Err(FileError::cancelled()),
        Err(error) => Err(FileError::io_caused(
            format!("Failed to unpack {} ({} bytes read)", without_credentials(url), input.count),
            error,
        )),
    }
}

/// Java: `URL.openStream`.
fn open(
    url: &str,
    options: &DownloadOptions,
    mut waiter: Waiter,
) -> Result<Box<dyn Read>, FileError> {
    match url.split_once(':') {
        Some(("http" | "https", _)) => match waiter.wait(download(url, options)) {
            Some(Ok(download)) => Ok(Box::new(BlockingInput::new(download, waiter))),
            Some(Err(error)) => Err(refused(error)),
            None => Err(FileError::cancelled()),
        },
        Some(("file", rest)) => open_file(url, rest),
        _ => Err(FileError::io(format!(
            "this agent downloads only http, https and file URLs, not {}",
            without_credentials(url)
        ))),
    }
}

/// Java's exception for an answer of 404 or 410 has only the URL as its message.
fn refused(error: DownloadError) -> FileError {
    match error {
        DownloadError::Status { url, status: 404 | 410 } => {
            FileError::new(JavaClass::FileNotFound, url)
        }
        error => FileError::io(error.to_string()),
    }
}

/// Java: `sun.net.www.protocol.file.Handler`; a URL with another host means FTP there.
fn open_file(url: &str, rest: &str) -> Result<Box<dyn Read>, FileError> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = match path.strip_prefix("//") {
        None => path,
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !matches!(host, "" | "~") && !host.eq_ignore_ascii_case("localhost") {
                return Err(FileError::io(format!("{url} names a file of another machine")));
            }
            path
        }
    };
    let path = percent_decode(path);
    check_here(&path, true)?;
    match File::open(&path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => {
            // The words of FileInputStream.
            let reason = error.to_string();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            let message = format!("{} ({reason})", path.display());
            Err(FileError::new(JavaClass::FileNotFound, message))
        }
    }
}

fn percent_decode(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let code = digit(0).zip(digit(1)).filter(|_| *first == b'%');
        match code.and_then(|(high, low)| u8::try_from(16 * high + low).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    unix::text_of(bytes).into()
}

/// Counts the bytes of the archive (`CountingInputStream`).
struct Counting {
    input: Box<dyn Read>,
    count: u64,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.count += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests;
