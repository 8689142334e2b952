//! The error of every file operation, shaped like the Java exception it stands for.

use std::fmt;
use std::io;
use std::path::Path;

/// Result of a file operation.
pub type Result<T> = std::result::Result<T, FileError>;

/// The Java exception class that the official agent throws in the same situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JavaClass {
    /// `java.io.IOException`
    Io,
    /// `java.io.EOFException`
    Eof,
    /// `java.io.FileNotFoundException`
    FileNotFound,
    /// `java.io.UnsupportedEncodingException`
    UnsupportedEncoding,
    /// `java.util.zip.ZipException`
    Zip,
    /// `java.nio.charset.MalformedInputException`; the message is `Input length = N`
    MalformedInput,
    /// `java.nio.charset.UnmappableCharacterException`; the message is `Input length = N`
    UnmappableCharacter,
    /// `java.nio.file.FileSystemException`
    FileSystem,
    /// `java.nio.file.NoSuchFileException`
    NoSuchFile,
    /// `java.nio.file.FileAlreadyExistsException`
    FileAlreadyExists,
    /// `java.nio.file.DirectoryNotEmptyException`
    DirectoryNotEmpty,
    /// `java.nio.file.NotDirectoryException`
    NotDirectory,
    /// `java.nio.file.AccessDeniedException`
    AccessDenied,
    /// `jenkins.util.io.CompositeIOException`
    CompositeIo,
    /// `java.lang.IllegalArgumentException`
    IllegalArgument,
    /// `java.lang.IllegalStateException`
    IllegalState,
    /// `org.apache.tools.ant.BuildException`
    Build,
    /// `hudson.FilePath$FileMaskNoMatchesFoundException`, a subclass of `InterruptedException`
    NoMatchesWithinBound,
    /// `java.lang.InterruptedException`
    Interrupted,
}

impl JavaClass {
    /// Binary name of the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "java.io.IOException",
            Self::Eof => "java.io.EOFException",
            Self::FileNotFound => "java.io.FileNotFoundException",
            Self::UnsupportedEncoding => "java.io.UnsupportedEncodingException",
            Self::Zip => "java.util.zip.ZipException",
            Self::MalformedInput => "java.nio.charset.MalformedInputException",
            Self::UnmappableCharacter => "java.nio.charset.UnmappableCharacterException",
            Self::FileSystem => "java.nio.file.FileSystemException",
            Self::NoSuchFile => "java.nio.file.NoSuchFileException",
            Self::FileAlreadyExists => "java.nio.file.FileAlreadyExistsException",
            Self::DirectoryNotEmpty => "java.nio.file.DirectoryNotEmptyException",
            Self::NotDirectory => "java.nio.file.NotDirectoryException",
            Self::AccessDenied => "java.nio.file.AccessDeniedException",
            Self::CompositeIo => "jenkins.util.io.CompositeIOException",
            Self::IllegalArgument => "java.lang.IllegalArgumentException",
            Self::IllegalState => "java.lang.IllegalStateException",
            Self::Build => "org.apache.tools.ant.BuildException",
            Self::NoMatchesWithinBound => "hudson.FilePath$FileMaskNoMatchesFoundException",
            Self::Interrupted => "java.lang.InterruptedException",
        }
    }

    /// Whether the class extends `java.nio.file.FileSystemException`, which has the fields `file` and `other`.
    #[must_use]
    pub const fn is_file_system(self) -> bool {
        matches!(
            self,
            Self::FileSystem
                | Self::NoSuchFile
                | Self::FileAlreadyExists
                | Self::DirectoryNotEmpty
                | Self::NotDirectory
                | Self::AccessDenied
        )
    }

    /// Whether the class extends `java.io.IOException`.
    #[must_use]
    pub const fn is_io(self) -> bool {
        !matches!(
            self,
            Self::IllegalArgument
                | Self::IllegalState
                | Self::Build
                | Self::NoMatchesWithinBound
                | Self::Interrupted
        )
    }
}

/// A failed file operation. Its text is what Java's `getMessage()` returns.
#[derive(thiserror::Error)]
#[error("{}", self.text())]
pub struct FileError {
    detail: Box<Detail>,
    #[source]
    cause: Option<Box<FileError>>,
}

struct Detail {
    class: JavaClass,
    file: Option<String>,
    other: Option<String>,
    message: Option<String>,
    suppressed: Vec<FileError>,
    /// Field `inputLength` of `MalformedInputException` and `UnmappableCharacterException`.
    input_length: i32,
}

impl fmt::Debug for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class().name(), self.text())?;
        for suppressed in self.suppressed() {
            write!(f, " [suppressed {suppressed:?}]")?;
        }
        match &self.cause {
            Some(cause) => write!(f, " [caused by {cause:?}]"),
            None => Ok(()),
        }
    }
}

impl FileError {
    /// An exception of `class` with only a message.
    #[must_use]
    pub fn new(class: JavaClass, message: impl Into<String>) -> Self {
        let detail = Detail {
            class,
            file: None,
            other: None,
            message: Some(message.into()),
            suppressed: Vec::new(),
            input_length: 0,
        };
        Self { detail: Box::new(detail), cause: None }
    }

    /// A plain `IOException`.
    #[must_use]
    pub fn io(message: impl Into<String>) -> Self {
        Self::new(JavaClass::Io, message)
    }

    /// A plain `IOException` around another error.
    #[must_use]
    pub fn io_caused(message: impl Into<String>, cause: Self) -> Self {
        Self { cause: Some(Box::new(cause)), ..Self::io(message) }
    }

    /// A `FileSystemException` or one of its subclasses.
    #[must_use]
    pub fn file_system(
        class: JavaClass,
        file: &Path,
        other: Option<&Path>,
        reason: Option<String>,
    ) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let detail = Detail {
            class,
            file: Some(text(file)),
            other: other.map(text),
            message: reason,
            suppressed: Vec::new(),
            input_length: 0,
        };
        Self { detail: Box::new(detail), cause: None }
    }

    /// Text that is not in its charset, or the charset lacks: `length` bytes or UTF-16 units of it.
    #[must_use]
    pub fn coding(class: JavaClass, length: usize) -> Self {
        let mut error = Self::new(class, format!("Input length = {length}"));
        error.detail.input_length = i32::try_from(length).unwrap_or(i32::MAX);
        error
    }

    /// The operation was stopped through [`super::Cancel`].
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(JavaClass::Interrupted, "the operation was cancelled")
    }

    /// Several errors under one message; keeps the first ten (Java: `CompositeIOException.EXCEPTION_LIMIT`).
    #[must_use]
    pub fn composite(message: impl Into<String>, errors: Vec<Self>) -> Self {
        Self::composite_of(message, errors, 0)
    }

    /// As [`FileError::composite`], with `dropped` more errors that were never kept.
    #[must_use]
    pub fn composite_of(message: impl Into<String>, mut errors: Vec<Self>, dropped: usize) -> Self {
        let mut message = message.into();
        let discarded = errors.len().saturating_sub(COMPOSITE_LIMIT) + dropped;
        if discarded > 0 {
            message.push_str(&format!(" (Discarded {discarded} additional exceptions)"));
        }
        errors.truncate(COMPOSITE_LIMIT);
        let mut composite = Self::new(JavaClass::CompositeIo, message);
        composite.detail.suppressed = errors;
        composite
    }

    /// A system call on `path` failed, as `sun.nio.fs.UnixException#translateToIOException` reports it.
    #[must_use]
    pub fn at(error: impl Into<io::Error>, path: &Path) -> Self {
        Self::between(error, path, None)
    }

    /// A system call on two paths failed.
    #[must_use]
    pub fn between(error: impl Into<io::Error>, path: &Path, other: Option<&Path>) -> Self {
        use rustix::io::Errno;
        let error = error.into();
        let code = Errno::from_io_error(&error);
        let class = match code {
            Some(Errno::ACCESS) => JavaClass::AccessDenied,
            Some(Errno::NOENT) => JavaClass::NoSuchFile,
            Some(Errno::EXIST) => JavaClass::FileAlreadyExists,
            _ => JavaClass::FileSystem,
        };
        let reason = (class == JavaClass::FileSystem).then(|| {
            let mut text = system_text(&error);
            if code == Some(Errno::LOOP) {
                text.push_str(" or unable to access attributes of symbolic link");
            }
            text
        });
        Self::file_system(class, path, other, reason)
    }

    /// Reading or writing an open stream failed. A [`FileError`] inside the [`io::Error`] comes back unchanged.
    #[must_use]
    pub fn stream(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            let text = error.to_string();
            return match error.into_inner().map(|inner| inner.downcast::<Self>()) {
                Some(Ok(inner)) => *inner,
                _ => Self::io(text),
            };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Self::new(JavaClass::Eof, "Unexpected end of ZLIB input stream")
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                if error.raw_os_error().is_none() =>
            {
                Self::new(JavaClass::Zip, error.to_string())
            }
            _ => Self::io(system_text(&error)),
        }
    }

    /// The Java class to throw.
    #[must_use]
    pub fn class(&self) -> JavaClass {
        self.detail.class
    }

    /// Field `file` of `FileSystemException`.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.detail.file.as_deref()
    }

    /// Field `other` of `FileSystemException`.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.detail.other.as_deref()
    }

    /// Field `detailMessage` of `Throwable`; for a `FileSystemException` it is the reason alone.
    #[must_use]
    pub fn detail_message(&self) -> Option<&str> {
        self.detail.message.as_deref()
    }

    /// Field `inputLength` of the exceptions of [`FileError::coding`].
    #[must_use]
    pub fn input_length(&self) -> i32 {
        self.detail.input_length
    }

    /// The same failure as an exception of another class, where Java catches one and throws another.
    #[must_use]
    pub fn rethrown_as(mut self, class: JavaClass) -> Self {
        self.detail.class = class;
        self
    }

    /// Field `cause` of `Throwable`.
    #[must_use]
    pub fn cause(&self) -> Option<&Self> {
        self.cause.as_deref()
    }

    /// Field `suppressedExceptions` of `Throwable`.
    #[must_use]
    pub fn suppressed(&self) -> &[Self] {
        &self.detail.suppressed
    }

    /// Whether the operation ended because of [`super::Cancel`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.class() == JavaClass::Interrupted
    }

    /// The same error as an [`io::Error`], for code that works on streams; [`FileError::stream`] undoes it.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// What `getMessage()` returns.
    fn text(&self) -> String {
        let detail = &self.detail;
        let mut text = detail.file.clone().unwrap_or_default();
        if let Some(other) = &detail.other {
            text.push_str(" -> ");
            text.push_str(other);
        }
        if let Some(message) = &detail.message {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(message);
        }
        text
    }
}

/// Java: `CompositeIOException.EXCEPTION_LIMIT`.
pub(super) const COMPOSITE_LIMIT: usize = 10;

/// The text of `strerror`, without the number that Rust appends.
pub(super) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_errno_as_java_does() {
        let path = Path::new("/x/y");
        let error = FileError::at(io::Error::from_raw_os_error(2), path);
        assert_eq!((error.class(), error.to_string().as_str()), (JavaClass::NoSuchFile, "/x/y"));
        assert_eq!((error.file(), error.detail_message()), (Some("/x/y"), None));
        let error =
            FileError::between(io::Error::from_raw_os_error(18), path, Some(Path::new("/z")));
        assert_eq!(error.class().name(), "java.nio.file.FileSystemException");
        assert!(error.to_string().starts_with("/x/y -> /z: "), "{error}");
        assert!(!error.to_string().contains("os error"));
    }

    #[test]
    fn an_error_survives_a_trip_through_a_stream() {
        let back = FileError::stream(FileError::cancelled().into_io());
        assert!(back.is_cancelled());
    }

    #[test]
    fn composite_keeps_ten() {
        let errors = (0..13).map(|n| FileError::io(format!("e{n}"))).collect();
        let error = FileError::composite("Unable to delete 'x'.", errors);
        assert_eq!(error.to_string(), "Unable to delete 'x'. (Discarded 3 additional exceptions)");
        assert_eq!(error.suppressed().len(), 10);
    }
}
