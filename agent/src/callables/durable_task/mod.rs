//! The durable-task plugin: steps whose processes outlive the connection. The controller polls their
//! files, or has the agent watch them.

pub(super) mod polling;
pub(super) mod watching;

use std::path::Path;

use crate::files::FileError;
use crate::files::charset::Charset;

/// What stands for the charset of the node, which is UTF-8 here.
const SYSTEM_DEFAULT: &str = "SYSTEM_DEFAULT";

/// The charset to convert output from (`FileMonitoringController.transcodingCharset`); none where it is
/// UTF-8 already or shall stay as it is.
fn transcoding(charset: Option<&str>) -> Result<Option<Charset>, FileError> {
    match charset {
        None | Some(SYSTEM_DEFAULT) => Ok(None),
        Some(name) => {
            let charset = Charset::for_name(name)?;
            Ok((charset != Charset::UTF_8).then_some(charset))
        }
    }
}

/// Output in UTF-8.
fn transcode(bytes: Vec<u8>, charset: Option<Charset>) -> Vec<u8> {
    match charset {
        Some(charset) => charset.decode_lossy(&bytes).into_bytes(),
        None => bytes,
    }
}

/// The exit status in a result file, once the wrapper script has written it
/// (`FileMonitoringController$StatusCheck`).
fn exit_status(file: &Path) -> Result<Option<i32>, FileError> {
    let Ok(contents) = std::fs::read(file) else { return Ok(None) };
    let contents = String::from_utf8_lossy(&contents);
    let line = contents.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    // Statuses of Windows are unsigned and may pass the bounds of an int.
    let status: i64 = line.parse().map_err(|_| {
        FileError::io(format!(
            "corrupted content in {}: java.lang.NumberFormatException: For input string: \"{line}\"",
            file.display()
        ))
    })?;
    let clamped = status.clamp(i32::MIN.into(), i32::MAX.into());
    Ok(i32::try_from(clamped).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(contents: &str) -> Result<Option<i32>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jenkins-result.txt");
        std::fs::write(&file, contents).unwrap();
        exit_status(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_status_is_read_once_it_is_there() {
        assert_eq!(exit_status(Path::new("/nonexistent/jenkins-result.txt")).unwrap(), None);
        assert_eq!(status_of(""), Ok(None));
        assert_eq!(status_of("\n"), Ok(None));
        assert_eq!(status_of("0\n"), Ok(Some(0)));
        assert_eq!(status_of(" 143 \nmore"), Ok(Some(143)));
        assert_eq!(status_of("-1"), Ok(Some(-1)));
        assert_eq!(status_of("4294967295"), Ok(Some(i32::MAX)));
    }

    #[test]
    fn a_status_that_is_none_is_an_error_that_names_the_file() {
        let error = status_of("oops").unwrap_err();
        assert!(error.starts_with("corrupted content in /"), "{error}");
        assert!(error.ends_with("For input string: \"oops\""), "{error}");
    }
}
