//! Declarations of the classes that one writes: name, serialVersionUID and fields in one place.

use crate::tag;

/// A class as its descriptor tells it.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    pub(crate) name: &'static str,
    pub(crate) suid: i64,
    pub(crate) flags: u8,
    pub(crate) fields: &'static [Field],
    pub(crate) omits_fields: bool,
    pub(crate) parent: Option<&'static Class>,
}

/// A declared field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: FieldType,
}

/// A field's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// `boolean`
    Bool,
    /// `byte`
    Byte,
    /// `char`
    Char,
    /// `short`
    Short,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// A reference with its signature, for example `Ljava/lang/String;` or `[B`.
    Reference(&'static str),
}

impl Class {
    /// A serialisable class with no fields.
    #[must_use]
    pub const fn new(name: &'static str, suid: i64) -> Self {
        Self {
            name,
            suid,
            flags: tag::SC_SERIALIZABLE,
            fields: &[],
            omits_fields: false,
            parent: None,
        }
    }

    /// An enum: its serialVersionUID is zero, its superclass `java.lang.Enum`.
    #[must_use]
    pub const fn enumeration(name: &'static str) -> Self {
        let mut class = Self::new(name, 0);
        class.flags = tag::SC_SERIALIZABLE | tag::SC_ENUM;
        class.parent = Some(&crate::jdk::ENUM);
        class
    }

    /// With these fields.
    ///
    /// # Panics
    /// When they are not in the order of the stream (primitives first, each group by name): a
    /// declaration in a `static` then fails to compile.
    #[must_use]
    pub const fn fields(mut self, fields: &'static [Field]) -> Self {
        let mut at = 1;
        while at < fields.len() {
            assert!(fields[at - 1].goes_before(&fields[at]), "fields must stand in stream order");
            at += 1;
        }
        self.fields = fields;
        self
    }

    /// With this superclass.
    #[must_use]
    pub const fn extends(mut self, parent: &'static Class) -> Self {
        self.parent = Some(parent);
        self
    }

    /// With a `writeObject` method.
    #[must_use]
    pub const fn with_write_method(mut self) -> Self {
        self.flags |= tag::SC_WRITE_METHOD;
        self
    }

    /// With a `writeObject` method that writes none of the declared fields.
    #[must_use]
    pub const fn with_write_method_only(mut self) -> Self {
        self.flags |= tag::SC_WRITE_METHOD;
        self.omits_fields = true;
        self
    }

    /// The binary name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl Field {
    /// A `boolean`.
    #[must_use]
    pub const fn bool(name: &'static str) -> Self {
        Self { name, kind: FieldType::Bool }
    }

    /// A `byte`.
    #[must_use]
    pub const fn byte(name: &'static str) -> Self {
        Self { name, kind: FieldType::Byte }
    }

    /// A `char`.
    #[must_use]
    pub const fn char(name: &'static str) -> Self {
        Self { name, kind: FieldType::Char }
    }

    /// A `short`.
    #[must_use]
    pub const fn short(name: &'static str) -> Self {
        Self { name, kind: FieldType::Short }
    }

    /// An `int`.
    #[must_use]
    pub const fn int(name: &'static str) -> Self {
        Self { name, kind: FieldType::Int }
    }

    /// A `long`.
    #[must_use]
    pub const fn long(name: &'static str) -> Self {
        Self { name, kind: FieldType::Long }
    }

    /// A `float`.
    #[must_use]
    pub const fn float(name: &'static str) -> Self {
        Self { name, kind: FieldType::Float }
    }

    /// A `double`.
    #[must_use]
    pub const fn double(name: &'static str) -> Self {
        Self { name, kind: FieldType::Double }
    }

    /// A reference, with the signature of its declared type.
    #[must_use]
    pub const fn reference(name: &'static str, signature: &'static str) -> Self {
        Self { name, kind: FieldType::Reference(signature) }
    }

    /// A `java.lang.String`.
    #[must_use]
    pub const fn string(name: &'static str) -> Self {
        Self::reference(name, "Ljava/lang/String;")
    }

    const fn goes_before(&self, other: &Self) -> bool {
        match (self.kind.is_reference(), other.kind.is_reference()) {
            (false, true) => true,
            (true, false) => false,
            _ => sorts_before(self.name.as_bytes(), other.name.as_bytes()),
        }
    }
}

impl FieldType {
    const fn is_reference(self) -> bool {
        matches!(self, Self::Reference(_))
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Bool => b'Z',
            Self::Byte => b'B',
            Self::Char => b'C',
            Self::Short => b'S',
            Self::Int => b'I',
            Self::Long => b'J',
            Self::Float => b'F',
            Self::Double => b'D',
            Self::Reference(signature) => match signature.as_bytes() {
                [b'[', ..] => b'[',
                _ => b'L',
            },
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Byte => "byte",
            Self::Char => "char",
            Self::Short => "short",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Reference(signature) => signature,
        }
    }
}

const fn sorts_before(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}
