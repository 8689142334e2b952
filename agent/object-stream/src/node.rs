//! Typed access: values of a graph read by field name, from whatever the descriptor declares.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::error::AccessError;
use crate::graph::{ClassDesc, Content, Graph, Instance, Items, Level, ObjectId, Stored, Value};

/// A value together with the graph that it belongs to.
#[derive(Clone, Copy)]
pub struct Node<'g> {
    graph: &'g Graph<'g>,
    value: Value,
}

/// What can be read from a [`Node`]. [`from_java!`](crate::from_java) writes it for a struct.
///
/// Objects may refer to each other in circles (a throwable without a cause names itself as its
/// cause), so a type that contains itself must count how deep it follows. A list that holds another
/// many times is read as many times: lists of lists of lists are for peers that are trusted.
pub trait FromJava<'g>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// When the node holds something of another type.
    fn from_java(node: Node<'g>) -> Result<Self, AccessError>;
}

impl<'g> Node<'g> {
    pub(crate) fn new(graph: &'g Graph<'_>, value: Value) -> Self {
        Self { graph, value }
    }

    /// The bare value.
    #[must_use]
    pub fn value(self) -> Value {
        self.value
    }

    /// The graph.
    #[must_use]
    pub fn graph(self) -> &'g Graph<'g> {
        self.graph
    }

    /// The object's identity in its graph, if it is a reference.
    #[must_use]
    pub fn id(self) -> Option<ObjectId> {
        match self.value {
            Value::Object(id) => Some(id),
            _ => None,
        }
    }

    /// Whether this is a null reference.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.value == Value::Null
    }

    /// The object behind the reference.
    #[must_use]
    pub fn stored(self) -> Option<&'g Stored<'g>> {
        self.id().map(|id| self.graph.get(id))
    }

    /// The object, if it is an ordinary one.
    #[must_use]
    pub fn instance(self) -> Option<&'g Instance<'g>> {
        match self.stored() {
            Some(Stored::Instance(instance)) => Some(instance),
            _ => None,
        }
    }

    /// Another value of the same graph.
    #[must_use]
    pub fn at(self, value: Value) -> Self {
        Self { graph: self.graph, value }
    }

    /// The descriptor of the object's class, or of the class that this node itself is.
    #[must_use]
    pub fn class_desc(self) -> Option<&'g ClassDesc<'g>> {
        match self.stored()? {
            Stored::Instance(instance) => self.graph.class_desc(instance.class),
            Stored::Array(array) => self.graph.class_desc(array.class),
            Stored::Enum { class, .. } | Stored::Class(class) => self.graph.class_desc(*class),
            Stored::ClassDesc(desc) => Some(desc),
            Stored::ProxyDesc(_) | Stored::String(_) | Stored::Pending => None,
        }
    }

    /// The name of the object's class; `java.lang.String` for strings, nothing for proxies.
    #[must_use]
    pub fn class_name(self) -> Option<Cow<'g, str>> {
        match self.stored()? {
            Stored::String(_) => Some(Cow::Borrowed("java.lang.String")),
            _ => self.class_desc().map(|desc| desc.name.to_str()),
        }
    }

    /// The descriptors from the object's class up to its root superclass.
    pub fn hierarchy(self) -> impl Iterator<Item = &'g ClassDesc<'g>> {
        let graph = self.graph;
        std::iter::successors(self.class_desc(), move |desc| {
            desc.parent.and_then(|id| graph.class_desc(id))
        })
    }

    /// Whether the object's class is `class` or a subclass of it (as far as the stream says).
    #[must_use]
    pub fn is_a(self, class: &str) -> bool {
        self.hierarchy().any(|desc| desc.name.is(class))
    }

    /// The interfaces of a dynamic proxy.
    #[must_use]
    pub fn proxy_interfaces(self) -> Option<Vec<Cow<'g, str>>> {
        match self.graph.get(self.instance()?.class) {
            Stored::ProxyDesc(desc) => {
                Some(desc.interfaces.iter().map(|name| name.to_str()).collect())
            }
            _ => None,
        }
    }

    /// The part of an object's data that `class` wrote.
    #[must_use]
    pub fn level(self, class: &str) -> Option<&'g Level<'g>> {
        let graph = self.graph;
        self.instance()?
            .levels
            .iter()
            .find(|level| graph.class_desc(level.class).is_some_and(|desc| desc.name.is(class)))
    }

    /// What `class` wrote beside its fields: block data joined, and the values.
    ///
    /// # Errors
    /// When the object has no such part.
    pub fn extra(self, class: &'static str) -> Result<(Vec<u8>, Vec<Node<'g>>), AccessError> {
        let missing = || AccessError::WrongType { expected: class, got: self.describe() };
        let extra = self.level(class).and_then(|level| level.extra.as_ref()).ok_or_else(missing)?;
        let mut block = Vec::new();
        let mut values = Vec::new();
        for content in extra {
            match content {
                Content::Block(bytes) => block.extend_from_slice(bytes),
                Content::Value(value) => values.push(self.at(*value)),
                Content::Reset | Content::Exception(_) => {}
            }
        }
        Ok((block, values))
    }

    /// A field by name, the class's own before those of its superclasses.
    ///
    /// # Errors
    /// When no class of the object declares it, or the class wrote none of its fields.
    pub fn field(self, name: &str) -> Result<Node<'g>, AccessError> {
        let levels = self.instance().map(|instance| instance.levels.as_slice()).unwrap_or_default();
        let found = levels.iter().rev().find_map(|level| {
            let values = level.fields.as_ref()?;
            let declared = &self.graph.class_desc(level.class)?.fields;
            let at = declared.iter().position(|field| field.name.is(name))?;
            values.get(at)
        });
        found
            .map(|value| self.at(*value))
            .ok_or_else(|| AccessError::NoField { class: self.describe(), field: name.to_owned() })
    }

    /// All fields with their names, root superclass first.
    #[must_use]
    pub fn fields(self) -> Vec<(Cow<'g, str>, Node<'g>)> {
        let mut fields = Vec::new();
        for level in self.instance().map(|instance| instance.levels.as_slice()).unwrap_or_default()
        {
            let Some(desc) = self.graph.class_desc(level.class) else { continue };
            for (field, value) in desc.fields.iter().zip(level.fields.iter().flatten()) {
                fields.push((field.name.to_str(), self.at(*value)));
            }
        }
        fields
    }

    /// The value read as `T`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read<T: FromJava<'g>>(self) -> Result<T, AccessError> {
        T::from_java(self)
    }

    /// A field read as `T`.
    ///
    /// # Errors
    /// When there is no such field, or it is something else.
    pub fn read_field<T: FromJava<'g>>(self, name: &'static str) -> Result<T, AccessError> {
        self.field(name)?
            .read()
            .map_err(|source| AccessError::Field { field: name, source: Box::new(source) })
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'g, str>> {
        match self.stored()? {
            Stored::String(text) => Some(text.to_str()),
            _ => None,
        }
    }

    /// The bytes of a `byte[]`.
    #[must_use]
    pub fn as_bytes(self) -> Option<&'g [u8]> {
        match self.stored()? {
            Stored::Array(array) => match &array.items {
                Items::Bytes(bytes) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    /// The name of an enum constant.
    #[must_use]
    pub fn enum_constant(self) -> Option<Cow<'g, str>> {
        match self.stored()? {
            Stored::Enum { constant, .. } => self.at(Value::Object(*constant)).as_str(),
            _ => None,
        }
    }

    /// A short description for messages: the class or the primitive type, never any content.
    #[must_use]
    pub fn describe(self) -> String {
        match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "boolean".to_owned(),
            Value::Byte(_) => "byte".to_owned(),
            Value::Char(_) => "char".to_owned(),
            Value::Short(_) => "short".to_owned(),
            Value::Int(_) => "int".to_owned(),
            Value::Long(_) => "long".to_owned(),
            Value::Float(_) => "float".to_owned(),
            Value::Double(_) => "double".to_owned(),
            Value::Object(_) => match self.proxy_interfaces() {
                Some(interfaces) => format!("a proxy of {}", interfaces.join(", ")),
                None => self.class_name().map_or_else(|| "a class".to_owned(), Cow::into_owned),
            },
        }
    }

    pub(crate) fn wrong(self, expected: &'static str) -> AccessError {
        AccessError::WrongType { expected, got: self.describe() }
    }

    /// The `value` field of a boxed primitive of this class.
    fn unboxed(self, class: &str) -> Option<Value> {
        let boxed = self.class_desc().is_some_and(|desc| desc.name.is(class));
        if boxed { self.field("value").ok().map(Node::value) } else { None }
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

macro_rules! primitive {
    ($type:ty, $variant:ident, $class:literal, $name:literal) => {
        impl<'g> FromJava<'g> for $type {
            fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
                match node.unboxed($class).unwrap_or(node.value) {
                    Value::$variant(value) => Ok(value),
                    _ => Err(node.wrong($name)),
                }
            }
        }
    };
}
primitive!(bool, Bool, "java.lang.Boolean", "a boolean");
primitive!(i32, Int, "java.lang.Integer", "an int");
primitive!(i64, Long, "java.lang.Long", "a long");
primitive!(i16, Short, "java.lang.Short", "a short");
primitive!(f32, Float, "java.lang.Float", "a float");
primitive!(f64, Double, "java.lang.Double", "a double");

impl<'g> FromJava<'g> for Node<'g> {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        Ok(node)
    }
}

impl<'g> FromJava<'g> for String {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        node.as_str().map(Cow::into_owned).ok_or_else(|| node.wrong("a string"))
    }
}

impl<'g> FromJava<'g> for &'g [u8] {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        node.as_bytes().ok_or_else(|| node.wrong("a byte[]"))
    }
}

impl<'g, T: FromJava<'g>> FromJava<'g> for Option<T> {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        if node.is_null() { Ok(None) } else { T::from_java(node).map(Some) }
    }
}

/// Arrays and the collections of [`Node::elements`].
impl<'g, T: FromJava<'g>> FromJava<'g> for Vec<T> {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        node.each_element()?.map(T::from_java).collect()
    }
}

/// The maps of [`Node::entries`].
impl<'g, K: FromJava<'g> + Ord, V: FromJava<'g>> FromJava<'g> for BTreeMap<K, V> {
    fn from_java(node: Node<'g>) -> Result<Self, AccessError> {
        node.entries()?.into_iter().map(|(key, value)| Ok((key.read()?, value.read()?))).collect()
    }
}

/// Declares structs that are read from objects by field name.
///
/// Only the named fields are looked at; others, and the serialVersionUID, may vary with the version
/// of the peer.
#[macro_export]
macro_rules! from_java {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident $(<$life:lifetime>)? {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty = $java:literal),* $(,)?
    })+) => {$(
        $(#[$meta])*
        $vis struct $name $(<$life>)? {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }
        $crate::from_java!(@impl $name [$($life)?] $($field = $java),*);
    )+};
    (@impl $name:ident [] $($field:ident = $java:literal),*) => {
        impl<'graph> $crate::FromJava<'graph> for $name {
            fn from_java(node: $crate::Node<'graph>) -> ::std::result::Result<Self, $crate::AccessError> {
                let _ = &node;
                Ok(Self { $($field: node.read_field($java)?,)* })
            }
        }
    };
    (@impl $name:ident [$life:lifetime] $($field:ident = $java:literal),*) => {
        impl<$life> $crate::FromJava<$life> for $name<$life> {
            fn from_java(node: $crate::Node<$life>) -> ::std::result::Result<Self, $crate::AccessError> {
                let _ = &node;
                Ok(Self { $($field: node.read_field($java)?,)* })
            }
        }
    };
}
