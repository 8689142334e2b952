//! Values of one's own, as they are handed to the encoder.

use std::borrow::Cow;

use crate::class::Class;
use crate::error::EncodeError;

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// A null reference.
    Null,
    /// `boolean`
    Bool(bool),
    /// `byte`
    Byte(i8),
    /// `char`, one UTF-16 unit
    Char(u16),
    /// `short`
    Short(i16),
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `float`
    Float(f32),
    /// `double`
    Double(f64),
    /// `java.lang.String`
    String(Cow<'static, str>),
    /// `byte[]`
    Bytes(Vec<u8>),
    /// `char[]`
    Chars(Vec<u16>),
    /// `int[]`
    Ints(Vec<i32>),
    /// `long[]`
    Longs(Vec<i64>),
    /// An array of references.
    Array(&'static Class, Vec<Datum>),
    /// An ordinary object.
    Object(Box<Object>),
    /// An enum constant.
    Enum(&'static Class, &'static str),
    /// A class as a value.
    Class(&'static Class),
    /// A dynamic proxy: its interfaces and its invocation handler.
    Proxy(&'static [&'static str], Box<Object>),
}

/// An object to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub(crate) class: &'static Class,
    pub(crate) fields: Vec<(&'static str, Datum)>,
    /// In the order of writing, with the class whose `writeObject` writes each.
    pub(crate) extra: Vec<(&'static Class, Extra)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Extra {
    Block(Vec<u8>),
    Value(Datum),
}

impl Object {
    /// An object whose fields are all zero or null.
    #[must_use]
    pub fn new(class: &'static Class) -> Self {
        Self { class, fields: Vec::new(), extra: Vec::new() }
    }

    /// With a field set; the last value set counts.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Datum>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    /// With block data that the `writeObject` method of `class` writes.
    #[must_use]
    pub fn block(mut self, class: &'static Class, bytes: impl Into<Vec<u8>>) -> Self {
        self.extra.push((class, Extra::Block(bytes.into())));
        self
    }

    /// With a value that the `writeObject` method of `class` writes.
    #[must_use]
    pub fn value(mut self, class: &'static Class, value: impl Into<Datum>) -> Self {
        self.extra.push((class, Extra::Value(value.into())));
        self
    }

    /// Its class.
    #[must_use]
    pub fn class(&self) -> &'static Class {
        self.class
    }
}

impl Object {
    /// From the class itself up to its root.
    pub(crate) fn hierarchy(&self) -> Vec<&'static Class> {
        std::iter::successors(Some(self.class), |class| class.parent).collect()
    }

    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        let classes = self.hierarchy();
        for (field, _) in &self.fields {
            if !classes.iter().any(|class| class.fields.iter().any(|known| known.name == *field)) {
                return Err(EncodeError::NoField { class: self.class.name, field });
            }
        }
        Ok(())
    }
}

impl Datum {
    pub(crate) fn is_primitive(&self) -> bool {
        matches!(
            self,
            Self::Bool(_)
                | Self::Byte(_)
                | Self::Char(_)
                | Self::Short(_)
                | Self::Int(_)
                | Self::Long(_)
                | Self::Float(_)
                | Self::Double(_)
        )
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Byte(_) => "byte",
            Self::Char(_) => "char",
            Self::Short(_) => "short",
            Self::Int(_) => "int",
            Self::Long(_) => "long",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::String(_) => "a string",
            Self::Bytes(_) => "byte[]",
            Self::Chars(_) => "char[]",
            Self::Ints(_) => "int[]",
            Self::Longs(_) => "long[]",
            Self::Array(class, _) => class.name,
            Self::Object(object) => object.class.name,
            Self::Enum(class, _) => class.name,
            Self::Class(_) => "a class",
            Self::Proxy(..) => "a proxy",
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Datum {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(bool => Bool, i8 => Byte, i16 => Short, i32 => Int, i64 => Long, f32 => Float, f64 => Double,
    &'static str => String, String => String, Vec<u8> => Bytes, Vec<i64> => Longs);

impl From<Object> for Datum {
    fn from(object: Object) -> Self {
        Self::Object(Box::new(object))
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
