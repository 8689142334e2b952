//! What a reader accepts: bounds against hostile input, and what only class files could tell.

/// Bounds on one stream. Each is checked before anything is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep objects may nest. The reader itself needs no stack for it; a JVM recurses and
    /// overflows its own at a few thousand.
    pub depth: usize,
    /// How many objects, strings and class descriptors one stream may hold.
    pub objects: usize,
    /// The longest string, in bytes of modified UTF-8.
    pub string_bytes: usize,
    /// The longest array, in elements.
    pub array_elements: usize,
    /// The longest stream, in bytes.
    pub stream_bytes: usize,
    /// How much memory the graph may take beside the stream itself, in bytes. Vectors grow in
    /// steps, so the allocator may see up to twice this.
    pub memory_bytes: usize,
}

impl Limits {
    /// Enough for anything that peers send each other in one message.
    pub const DEFAULT: Self = Self {
        depth: 300,
        objects: 1 << 20,
        string_bytes: 64 << 20,
        array_elements: 64 << 20,
        stream_bytes: 128 << 20,
        memory_bytes: 256 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How to read a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions<'o> {
    /// The bounds.
    pub limits: Limits,
    /// Classes whose `writeObject` writes none of the fields that their descriptor declares.
    ///
    /// The stream says that a class has a `writeObject` method, not whether that method began with
    /// `defaultWriteObject`. Where the first declared field is a reference and the data begins with
    /// block data, the reader can tell by itself; other such classes must be named here.
    pub without_default_fields: &'o [&'o str],
}
