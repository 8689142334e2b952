//! What a stream holds: an arena of inert objects and the top-level contents that point into it.

use std::borrow::Cow;

use crate::error::{AccessError, ReadError};
use crate::limits::ReadOptions;
use crate::node::Node;
use crate::text::JavaStr;
use crate::{reader, writer};

/// Names one object of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u32);

/// A whole stream, as inert data. Strings, byte arrays and block data borrow from it.
#[derive(Debug, Clone, Default)]
pub struct Graph<'a> {
    pub(crate) objects: Vec<Stored<'a>>,
    pub(crate) contents: Vec<Content<'a>>,
}

/// One element of a stream, or of the data that a class wrote itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// An object or null.
    Value(Value),
    /// Raw bytes written with the primitive methods of `ObjectOutputStream`.
    Block(Cow<'a, [u8]>),
    /// `TC_RESET`: handles start anew. At top level only.
    Reset,
    /// `TC_EXCEPTION`: the writer failed with this throwable. At top level only.
    Exception(ObjectId),
}

/// What a field or an element holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A null reference.
    Null,
    /// A reference.
    Object(ObjectId),
    /// `Z`
    Bool(bool),
    /// `B`
    Byte(i8),
    /// `C`, one UTF-16 unit
    Char(u16),
    /// `S`
    Short(i16),
    /// `I`
    Int(i32),
    /// `J`
    Long(i64),
    /// `F`
    Float(f32),
    /// `D`
    Double(f64),
}

/// Whatever gets a handle.
#[derive(Debug, Clone)]
pub enum Stored<'a> {
    /// `TC_CLASSDESC`
    ClassDesc(ClassDesc<'a>),
    /// `TC_PROXYCLASSDESC`
    ProxyDesc(ProxyDesc<'a>),
    /// `TC_OBJECT`
    Instance(Instance<'a>),
    /// `TC_STRING`, `TC_LONGSTRING`
    String(JavaStr<'a>),
    /// `TC_ARRAY`
    Array(Array<'a>),
    /// `TC_CLASS`: the class itself as a value
    Class(ObjectId),
    /// `TC_ENUM`
    Enum {
        /// Its descriptor.
        class: ObjectId,
        /// The string that names the constant.
        constant: ObjectId,
    },
    /// A handle whose object is still being read; never left in a graph that was returned.
    Pending,
}

/// A class descriptor.
#[derive(Debug, Clone)]
pub struct ClassDesc<'a> {
    /// The binary name, for example `java.util.ArrayList` or `[B`.
    pub name: JavaStr<'a>,
    /// The serialVersionUID.
    pub suid: i64,
    /// `SC_*` flags.
    pub flags: u8,
    /// The declared fields in stream order.
    pub fields: Vec<FieldDesc<'a>>,
    /// What `annotateClass` wrote.
    pub annotation: Vec<Content<'a>>,
    /// The superclass's descriptor.
    pub parent: Option<ObjectId>,
}

/// A field of a class descriptor.
#[derive(Debug, Clone)]
pub struct FieldDesc<'a> {
    /// `BCDFIJSZ`, `L` or `[`.
    pub code: u8,
    /// The name.
    pub name: JavaStr<'a>,
    /// For `L` and `[`: the string that holds the type's signature.
    pub signature: Option<ObjectId>,
}

/// A dynamic proxy's descriptor.
#[derive(Debug, Clone)]
pub struct ProxyDesc<'a> {
    /// The interfaces' names.
    pub interfaces: Vec<JavaStr<'a>>,
    /// What `annotateProxyClass` wrote.
    pub annotation: Vec<Content<'a>>,
    /// The superclass's descriptor (`java.lang.reflect.Proxy`).
    pub parent: Option<ObjectId>,
}

/// An ordinary object.
#[derive(Debug, Clone)]
pub struct Instance<'a> {
    /// Its descriptor.
    pub class: ObjectId,
    /// Its data, from the root superclass to the class itself.
    pub levels: Vec<Level<'a>>,
}

/// The data of one class of an instance's hierarchy.
#[derive(Debug, Clone)]
pub struct Level<'a> {
    /// The descriptor.
    pub class: ObjectId,
    /// The declared fields' values, or `None` where the class wrote none of them.
    pub fields: Option<Vec<Value>>,
    /// What `writeObject` or `writeExternal` wrote beside the fields; `None` where the class has no
    /// such method.
    pub extra: Option<Vec<Content<'a>>>,
}

/// An array.
#[derive(Debug, Clone)]
pub struct Array<'a> {
    /// Its descriptor.
    pub class: ObjectId,
    /// Its elements.
    pub items: Items<'a>,
}

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Items<'a> {
    /// `byte[]`
    Bytes(Cow<'a, [u8]>),
    /// `boolean[]`
    Bools(Vec<bool>),
    /// `char[]`
    Chars(Vec<u16>),
    /// `short[]`
    Shorts(Vec<i16>),
    /// `int[]`
    Ints(Vec<i32>),
    /// `long[]`
    Longs(Vec<i64>),
    /// `float[]`
    Floats(Vec<f32>),
    /// `double[]`
    Doubles(Vec<f64>),
    /// References: each [`Value::Null`] or [`Value::Object`].
    Values(Vec<Value>),
}

impl<'a> Graph<'a> {
    /// Reads a whole stream, header included.
    ///
    /// # Errors
    /// When the bytes are no object stream, pass a limit, or hold external data that only its class
    /// can read. Never panics.
    pub fn parse(bytes: &'a [u8], options: &ReadOptions<'_>) -> Result<Self, ReadError> {
        reader::parse(bytes, options)
    }

    /// Writes the graph back. For a graph that was read from a canonical stream (as the JDK writes
    /// them) these are the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        writer::write(self)
    }

    /// The top-level contents in order.
    #[must_use]
    pub fn contents(&self) -> &[Content<'a>] {
        &self.contents
    }

    /// The number of objects, strings and descriptors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether the graph holds no object at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The first top-level value.
    ///
    /// # Errors
    /// When the stream holds no value.
    pub fn root(&self) -> Result<Node<'_>, AccessError> {
        self.roots().next().ok_or(AccessError::Empty)
    }

    /// All top-level values.
    pub fn roots(&self) -> impl Iterator<Item = Node<'_>> {
        self.contents.iter().filter_map(|content| match content {
            Content::Value(value) => Some(Node::new(self, *value)),
            _ => None,
        })
    }

    /// Every object of the graph, whether reachable or not, in the order of the stream.
    pub fn objects(&self) -> impl Iterator<Item = Node<'_>> {
        (0u32..).zip(&self.objects).map(|(id, _)| Node::new(self, Value::Object(ObjectId(id))))
    }

    /// What an id names.
    #[must_use]
    pub fn get(&self, id: ObjectId) -> &Stored<'a> {
        self.objects.get(id.0 as usize).unwrap_or(&Stored::Pending)
    }

    /// What an id names, to change it in place before [`Graph::to_bytes`]: a field's value, a string,
    /// the bytes of an array. Ids stay as they are, so nothing can be removed.
    pub fn get_mut(&mut self, id: ObjectId) -> Option<&mut Stored<'a>> {
        self.objects.get_mut(id.0 as usize)
    }

    /// The class descriptor that an id names.
    #[must_use]
    pub fn class_desc(&self, id: ObjectId) -> Option<&ClassDesc<'a>> {
        match self.get(id) {
            Stored::ClassDesc(desc) => Some(desc),
            _ => None,
        }
    }
}
