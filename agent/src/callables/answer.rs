//! Answers that several families give: file paths, and exceptions of file operations.

use std::path::Path;

use java_object_stream::{Class, Datum, Field, Object, jdk};
use jenkins_remoting::channel::Throwable;

use crate::files::{FileError, JavaClass};

/// `hudson.FilePath`, whose block data says whether the writer has no channel: from an agent it is
/// true, and the controller binds the path to this channel (`FilePath.writeObject`).
static FILE_PATH: Class =
    Class::new("hudson.FilePath", 1).fields(&[Field::string("remote")]).with_write_method();

/// A path of this node, as an answer.
pub(crate) fn file_path(path: &Path) -> Datum {
    let remote = path.to_string_lossy().into_owned();
    Object::new(&FILE_PATH).with("remote", remote).block(&FILE_PATH, [1]).into()
}

/// A text, as Java's `String` answers.
pub(crate) fn text(text: impl Into<String>) -> Datum {
    Datum::from(text.into())
}

static EOF: Class =
    Class::new("java.io.EOFException", 6_433_858_223_774_886_977).extends(&jdk::IO_EXCEPTION);
static UNSUPPORTED_ENCODING: Class =
    Class::new("java.io.UnsupportedEncodingException", -4_274_276_298_326_136_670)
        .extends(&jdk::IO_EXCEPTION);
static ZIP: Class =
    Class::new("java.util.zip.ZipException", 8_000_196_834_066_748_623).extends(&jdk::IO_EXCEPTION);
static FILE_ALREADY_EXISTS: Class =
    Class::new("java.nio.file.FileAlreadyExistsException", 7_579_540_934_498_831_181)
        .extends(&jdk::FILE_SYSTEM_EXCEPTION);
static NOT_DIRECTORY: Class =
    Class::new("java.nio.file.NotDirectoryException", -9_011_457_427_178_200_199)
        .extends(&jdk::FILE_SYSTEM_EXCEPTION);
static ILLEGAL_ARGUMENT: Class =
    Class::new("java.lang.IllegalArgumentException", -5_365_630_128_856_068_164)
        .extends(&jdk::RUNTIME_EXCEPTION);
/// How `FilePath.act` sends an `InterruptedException` (`FilePath$TunneledInterruptedException`).
static TUNNELED_INTERRUPTED: Class =
    Class::new("hudson.FilePath$TunneledInterruptedException", 1).extends(&jdk::IO_EXCEPTION);
impl From<FileError> for Throwable {
    fn from(error: FileError) -> Self {
        to_throwable(&error)
    }
}

fn to_throwable(error: &FileError) -> Throwable {
    let mut throwable = without_cause(error);
    if !error.suppressed().is_empty() {
        // Ten of each at most, and operations nest few of them.
        throwable = throwable.suppressing(error.suppressed().iter().map(to_throwable).collect());
    }
    match error.cause() {
        Some(cause) => throwable.caused_by(to_throwable(cause)),
        None => throwable,
    }
}

fn without_cause(error: &FileError) -> Throwable {
    let class = match error.class() {
        // Their serialVersionUIDs are implicit, or their class may be missing at the controller; a
        // plain IOException with the same text reads the same to a user.
        JavaClass::Io
        | JavaClass::CompositeIo
        | JavaClass::MalformedInput
        | JavaClass::UnmappableCharacter => &jdk::IO_EXCEPTION,
        JavaClass::Eof => &EOF,
        JavaClass::FileNotFound => &jdk::FILE_NOT_FOUND,
        JavaClass::UnsupportedEncoding => &UNSUPPORTED_ENCODING,
        JavaClass::Zip => &ZIP,
        JavaClass::FileSystem => &jdk::FILE_SYSTEM_EXCEPTION,
        JavaClass::NoSuchFile => &jdk::NO_SUCH_FILE,
        JavaClass::FileAlreadyExists => &FILE_ALREADY_EXISTS,
        JavaClass::DirectoryNotEmpty => &jdk::DIRECTORY_NOT_EMPTY,
        JavaClass::NotDirectory => &NOT_DIRECTORY,
        JavaClass::AccessDenied => &jdk::ACCESS_DENIED,
        JavaClass::IllegalArgument => &ILLEGAL_ARGUMENT,
        JavaClass::IllegalState => &jdk::ILLEGAL_STATE,
        JavaClass::Build => &jdk::RUNTIME_EXCEPTION,
        JavaClass::NoMatchesWithinBound | JavaClass::Interrupted => &TUNNELED_INTERRUPTED,
    };
    match error.file() {
        Some(file) if error.class().is_file_system() => Throwable::file_system(
            class,
            file,
            error.other().map(str::to_owned),
            error.detail_message().map(str::to_owned),
        ),
        _ => Throwable::new(class, error.to_string()),
    }
}
