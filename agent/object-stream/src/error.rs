//! Errors of reading, of typed access and of encoding.

use thiserror::Error;

/// A stream could not be read. The caller still has its bytes, so it can hand them on untouched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("byte {offset} of the object stream: {kind}")]
pub struct ReadError {
    /// Where in the stream, in bytes from its header.
    pub offset: usize,
    /// What was wrong.
    pub kind: ReadErrorKind,
}

/// What was wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The stream ended inside a value.
    #[error("expected {expected} more bytes, the stream ends after {available}")]
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes left.
        available: usize,
    },
    /// The four bytes of the header are others.
    #[error("expected the header ac ed 00 05, got {got:02x?}")]
    NotAStream {
        /// What stood there.
        got: Vec<u8>,
    },
    /// A type code that may not stand here.
    #[error("expected {expected}, got type code {got:#04x}")]
    UnexpectedTag {
        /// What the grammar allows here.
        expected: &'static str,
        /// The type code found.
        got: u8,
    },
    /// A handle that nothing was assigned to, or that names something of another kind.
    #[error("handle {handle:#x} does not name {expected}")]
    BadHandle {
        /// The handle as it stands in the stream.
        handle: u32,
        /// What the grammar allows here.
        expected: &'static str,
    },
    /// A bound of [`crate::Limits`] was passed.
    #[error("{what} over the limit: {got} > {limit}")]
    TooMuch {
        /// Which bound.
        what: &'static str,
        /// What the stream asks for.
        got: u64,
        /// The bound.
        limit: usize,
    },
    /// A string that is not modified UTF-8.
    #[error("not modified UTF-8")]
    BadString,
    /// A field type character other than `BCDFIJSZL[`, or an array of such.
    #[error("unknown field type {0:?}")]
    BadFieldType(String),
    /// Class descriptor flags that exclude each other.
    #[error("class {class} has the impossible flags {flags:#04x}")]
    BadFlags {
        /// The class.
        class: String,
        /// Its flags.
        flags: u8,
    },
    /// An `Externalizable` written in protocol version 1, whose data has no end mark.
    #[error("class {0} writes external data without marks; only the class itself can read it")]
    OpaqueExternal(String),
    /// The writer failed in the middle and said so with `TC_EXCEPTION`.
    #[error("the writer of the stream failed: {0}")]
    WriterFailed(String),
}

/// A graph does not hold what the caller expects of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The object's class, and its superclasses, declare no such field.
    #[error("class {class} has no field {field}")]
    NoField {
        /// The class.
        class: String,
        /// The field asked for.
        field: String,
    },
    /// A value of another type.
    #[error("expected {expected}, got {got}")]
    WrongType {
        /// What the caller can use.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// The same, with the field that holds it.
    #[error("field {field}: {source}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<AccessError>,
    },
    /// The stream holds no object.
    #[error("the stream holds no value")]
    Empty,
    /// Data that the class wrote itself is shorter than that class writes.
    #[error("class {class}: its own data is incomplete, expected {expected}")]
    ShortData {
        /// The class.
        class: String,
        /// What should follow.
        expected: &'static str,
    },
}

/// A value cannot be encoded: a mistake in the declaration that it is made from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The object sets a field that its class does not declare.
    #[error("class {class} declares no field {field}")]
    NoField {
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The value set is not of the declared type.
    #[error("class {class}, field {field}: expected {expected}, got {got}")]
    WrongType {
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
        /// The declared type.
        expected: &'static str,
        /// The kind of the value.
        got: &'static str,
    },
    /// More elements or bytes than the format can count.
    #[error("{0} is too long for an object stream")]
    TooLong(&'static str),
    /// Values nest deeper than a reader would follow.
    #[error("values nest deeper than {0}")]
    TooDeep(usize),
}
