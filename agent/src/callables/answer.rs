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
static COMPOSITE_IO: Class =
    Class::new("jenkins.util.io.CompositeIOException", 121_943_141_387_608_148)
        .fields(&[Field::reference(EXCEPTIONS, "Ljava/util/List;")])
        .extends(&jdk::IO_EXCEPTION);
const EXCEPTIONS: &str = "exceptions";
static CHARACTER_CODING: Class =
    Class::new("java.nio.charset.CharacterCodingException", 8_421_532_232_154_627_783)
        .extends(&jdk::IO_EXCEPTION);
static MALFORMED_INPUT: Class =
    Class::new("java.nio.charset.MalformedInputException", -3_438_823_399_834_806_194)
        .fields(&[Field::int(INPUT_LENGTH)])
        .extends(&CHARACTER_CODING);
static UNMAPPABLE_CHARACTER: Class =
    Class::new("java.nio.charset.UnmappableCharacterException", -7_026_962_371_537_706_123)
        .fields(&[Field::int(INPUT_LENGTH)])
        .extends(&CHARACTER_CODING);
const INPUT_LENGTH: &str = "inputLength";
/// Its place in a build file is part of its text; this one has none (`Location.UNKNOWN_LOCATION`).
static BUILD: Class = Class::new("org.apache.tools.ant.BuildException", -5_419_014_565_354_664_240)
    .fields(&[Field::reference(LOCATION, "Lorg/apache/tools/ant/Location;")])
    .extends(&jdk::RUNTIME_EXCEPTION);
static BUILD_LOCATION: Class = Class::new("org.apache.tools.ant.Location", 1).fields(&[
    Field::int("columnNumber"),
    Field::int("lineNumber"),
    Field::string("fileName"),
]);
const LOCATION: &str = "location";

impl From<FileError> for Throwable {
    fn from(error: FileError) -> Self {
        to_throwable(&error)
    }
}

fn to_throwable(error: &FileError) -> Throwable {
    let mut throwable = without_cause(error);
    if !error.suppressed().is_empty() {
        // Ten of each at most, and operations nest few of them.
        let suppressed: Vec<_> = error.suppressed().iter().map(to_throwable).collect();
        if error.class() == JavaClass::CompositeIo {
            throwable = throwable.listing(EXCEPTIONS, suppressed.clone());
        }
        throwable = throwable.suppressing(suppressed);
    }
    match error.cause() {
        Some(cause) => throwable.caused_by(to_throwable(cause)),
        None => throwable,
    }
}

fn without_cause(error: &FileError) -> Throwable {
    let class = match error.class() {
        JavaClass::Io => &jdk::IO_EXCEPTION,
        JavaClass::CompositeIo => &COMPOSITE_IO,
        JavaClass::MalformedInput => &MALFORMED_INPUT,
        JavaClass::UnmappableCharacter => &UNMAPPABLE_CHARACTER,
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
        JavaClass::Build => &BUILD,
        JavaClass::NoMatchesWithinBound | JavaClass::Interrupted => &TUNNELED_INTERRUPTED,
    };
    match error.file() {
        Some(file) if error.class().is_file_system() => Throwable::file_system(
            class,
            file,
            error.other().map(str::to_owned),
            error.detail_message().map(str::to_owned),
        ),
        _ => {
            let throwable = Throwable::new(class, error.to_string());
            match error.class() {
                JavaClass::MalformedInput | JavaClass::UnmappableCharacter => {
                    throwable.with(INPUT_LENGTH, error.input_length())
                }
                JavaClass::Build => throwable.with(LOCATION, Object::new(&BUILD_LOCATION)),
                _ => throwable,
            }
        }
    }
}
