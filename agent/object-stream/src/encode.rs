//! Writes values of one's own from [`Class`] declarations, class annotations included.

use std::collections::HashMap;

use crate::class::{Class, Field, FieldType};
use crate::datum::{Datum, Extra, Object};
use crate::error::EncodeError;
use crate::tag;
use crate::text::JavaStr;
use crate::writer::{put_block, put_string};

/// How deep values may nest: less than any JVM would follow.
const MAX_DEPTH: usize = 200;

/// What stands in the annotation of class descriptors (`ObjectOutputStream.annotateClass`).
pub trait Annotate {
    /// Appends the block data for this class, or for the first interface of a proxy; nothing for no
    /// annotation. Called once for each descriptor, in the order of the stream.
    fn annotate(&mut self, class: &str, block: &mut Vec<u8>);
}

/// No annotation, as a plain `ObjectOutputStream` writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Annotate for Plain {
    fn annotate(&mut self, _class: &str, _block: &mut Vec<u8>) {}
}

/// Writes a stream, header included, that holds one value.
///
/// # Errors
/// When a value does not fit its class's declaration.
pub fn encode(value: &Datum, annotate: &mut dyn Annotate) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(256);
    encode_into(&mut out, value, annotate)?;
    Ok(out)
}

/// The same, appended to a buffer.
///
/// # Errors
/// When a value does not fit its class's declaration.
pub fn encode_into(
    out: &mut Vec<u8>,
    value: &Datum,
    annotate: &mut dyn Annotate,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&tag::MAGIC);
    let mut encoder = Encoder {
        out,
        annotate,
        next: 0,
        open: Vec::new(),
        classes: HashMap::new(),
        proxies: HashMap::new(),
        signatures: HashMap::new(),
    };
    encoder.datum(value)?;
    encoder.finish()
}

struct Encoder<'e, 'v> {
    out: &'e mut Vec<u8>,
    annotate: &'e mut dyn Annotate,
    next: u32,
    /// What is being written, the innermost last: a stack of its own, see the writer of graphs.
    open: Vec<Open<'v>>,
    classes: HashMap<&'static str, u32>,
    proxies: HashMap<&'static [&'static str], u32>,
    signatures: HashMap<&'static str, u32>,
}

enum Open<'v> {
    /// The rest of an array.
    Items(&'v [Datum]),
    /// An object, and its classes whose data is not complete, the next one last.
    Object(&'v Object, Vec<&'static Class>, Part),
}

/// What comes next of the data of one class.
#[derive(Clone, Copy)]
enum Part {
    Field(usize),
    Extra(usize),
}

impl<'v> Encoder<'_, 'v> {
    fn assign(&mut self) -> u32 {
        let handle = self.next.wrapping_add(tag::BASE_HANDLE);
        self.next = self.next.wrapping_add(1);
        handle
    }

    fn refer(&mut self, handle: u32) {
        self.out.push(tag::REFERENCE);
        self.out.extend(handle.to_be_bytes());
    }

    fn count(&mut self, count: usize, what: &'static str) -> Result<(), EncodeError> {
        let count = i32::try_from(count).map_err(|_| EncodeError::TooLong(what))?;
        self.out.extend(count.to_be_bytes());
        Ok(())
    }

    fn short_text(&mut self, text: &str) -> Result<(), EncodeError> {
        let text = JavaStr::from(text);
        let bytes = text.as_modified_utf8();
        let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong("a name"))?;
        self.out.extend(length.to_be_bytes());
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn datum(&mut self, datum: &'v Datum) -> Result<(), EncodeError> {
        match datum {
            Datum::Null => self.out.push(tag::NULL),
            Datum::Bool(v) => self.out.push((*v).into()),
            Datum::Byte(v) => self.out.extend(v.to_be_bytes()),
            Datum::Char(v) => self.out.extend(v.to_be_bytes()),
            Datum::Short(v) => self.out.extend(v.to_be_bytes()),
            Datum::Int(v) => self.out.extend(v.to_be_bytes()),
            Datum::Long(v) => self.out.extend(v.to_be_bytes()),
            Datum::Float(v) => self.out.extend(v.to_be_bytes()),
            Datum::Double(v) => self.out.extend(v.to_be_bytes()),
            Datum::String(text) => {
                self.assign();
                put_string(self.out, &JavaStr::from(text.as_ref()));
            }
            Datum::Bytes(bytes) => {
                self.array(&crate::jdk::BYTE_ARRAY, bytes.len())?;
                self.out.extend_from_slice(bytes);
            }
            Datum::Chars(units) => {
                self.array(&crate::jdk::CHAR_ARRAY, units.len())?;
                self.out.extend(units.iter().flat_map(|v| v.to_be_bytes()));
            }
            Datum::Ints(ints) => {
                self.array(&crate::jdk::INT_ARRAY, ints.len())?;
                self.out.extend(ints.iter().flat_map(|v| v.to_be_bytes()));
            }
            Datum::Longs(longs) => {
                self.array(&crate::jdk::LONG_ARRAY, longs.len())?;
                self.out.extend(longs.iter().flat_map(|v| v.to_be_bytes()));
            }
            Datum::Array(class, items) => {
                self.array(class, items.len())?;
                self.nest(Open::Items(items))?;
            }
            Datum::Object(object) => self.object(object)?,
            Datum::Enum(class, constant) => {
                self.out.push(tag::ENUM);
                self.class_desc(Some(class))?;
                self.assign();
                self.assign();
                put_string(self.out, &JavaStr::from(*constant));
            }
            Datum::Class(class) => {
                self.out.push(tag::CLASS);
                self.class_desc(Some(class))?;
                self.assign();
            }
            Datum::Proxy(interfaces, handler) => {
                self.out.push(tag::OBJECT);
                self.proxy_desc(interfaces)?;
                self.assign();
                self.object(handler)?;
            }
        }
        Ok(())
    }

    fn nest(&mut self, open: Open<'v>) -> Result<(), EncodeError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(EncodeError::TooDeep(MAX_DEPTH));
        }
        self.open.push(open);
        Ok(())
    }

    /// Writes the rest of all that is open.
    fn finish(&mut self) -> Result<(), EncodeError> {
        while let Some(open) = self.open.pop() {
            match open {
                Open::Items([]) => {}
                Open::Items([first, rest @ ..]) => {
                    self.open.push(Open::Items(rest));
                    self.datum(first)?;
                }
                Open::Object(object, mut classes, part) => {
                    let Some(class) = classes.last().copied() else { continue };
                    match part {
                        Part::Field(at) => match class.written_fields().get(at) {
                            Some(field) => {
                                self.open.push(Open::Object(object, classes, Part::Field(at + 1)));
                                self.field(object, class, field)?;
                            }
                            None => self.open.push(Open::Object(object, classes, Part::Extra(0))),
                        },
                        Part::Extra(at) => {
                            let extra = object.extra.get(at).filter(|_| class.writes_itself());
                            if let Some((owner, extra)) = extra {
                                self.open.push(Open::Object(object, classes, Part::Extra(at + 1)));
                                if *owner == class {
                                    self.extra(extra)?;
                                }
                                continue;
                            }
                            if class.writes_itself() {
                                self.out.push(tag::END_BLOCK_DATA);
                            }
                            classes.pop();
                            self.open.push(Open::Object(object, classes, Part::Field(0)));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn extra(&mut self, extra: &'v Extra) -> Result<(), EncodeError> {
        match extra {
            Extra::Value(value) => self.datum(value),
            Extra::Block(bytes) if i32::try_from(bytes.len()).is_err() => {
                Err(EncodeError::TooLong("block data"))
            }
            Extra::Block(bytes) => {
                put_block(self.out, bytes);
                Ok(())
            }
        }
    }

    fn array(&mut self, class: &'static Class, length: usize) -> Result<(), EncodeError> {
        self.out.push(tag::ARRAY);
        self.class_desc(Some(class))?;
        self.assign();
        self.count(length, "an array")
    }

    fn annotation(&mut self, class: &str) {
        let mut block = Vec::new();
        self.annotate.annotate(class, &mut block);
        if !block.is_empty() {
            put_block(self.out, &block);
        }
        self.out.push(tag::END_BLOCK_DATA);
    }

    fn class_desc(&mut self, mut class: Option<&'static Class>) -> Result<(), EncodeError> {
        while let Some(declared) = class {
            if let Some(handle) = self.classes.get(declared.name).copied() {
                self.refer(handle);
                return Ok(());
            }
            self.new_class_desc(declared)?;
            class = declared.parent;
        }
        self.out.push(tag::NULL);
        Ok(())
    }

    /// A descriptor up to its superclass.
    fn new_class_desc(&mut self, class: &'static Class) -> Result<(), EncodeError> {
        self.out.push(tag::CLASS_DESC);
        self.short_text(class.name)?;
        self.out.extend(class.suid.to_be_bytes());
        let handle = self.assign();
        self.classes.insert(class.name, handle);
        self.out.push(class.flags);
        let count = u16::try_from(class.fields.len());
        self.out.extend(count.map_err(|_| EncodeError::TooLong("a class"))?.to_be_bytes());
        for field in class.fields {
            self.out.push(field.kind.code());
            self.short_text(field.name)?;
            if let FieldType::Reference(signature) = field.kind {
                match self.signatures.get(signature).copied() {
                    Some(handle) => self.refer(handle),
                    None => {
                        let handle = self.assign();
                        self.signatures.insert(signature, handle);
                        put_string(self.out, &JavaStr::from(signature));
                    }
                }
            }
        }
        self.annotation(class.name);
        Ok(())
    }

    fn proxy_desc(&mut self, interfaces: &'static [&'static str]) -> Result<(), EncodeError> {
        if let Some(handle) = self.proxies.get(interfaces) {
            let handle = *handle;
            self.refer(handle);
            return Ok(());
        }
        self.out.push(tag::PROXY_CLASS_DESC);
        let handle = self.assign();
        self.proxies.insert(interfaces, handle);
        self.count(interfaces.len(), "a list of interfaces")?;
        for interface in interfaces {
            self.short_text(interface)?;
        }
        self.annotation(interfaces.first().copied().unwrap_or_default());
        self.class_desc(Some(&crate::jdk::PROXY))
    }

    fn object(&mut self, object: &'v Object) -> Result<(), EncodeError> {
        object.check()?;
        self.out.push(tag::OBJECT);
        self.class_desc(Some(object.class))?;
        self.assign();
        self.nest(Open::Object(object, object.hierarchy(), Part::Field(0)))
    }

    fn field(
        &mut self,
        object: &'v Object,
        class: &'static Class,
        field: &Field,
    ) -> Result<(), EncodeError> {
        let set = object.fields.iter().rev().find(|(name, _)| *name == field.name);
        let Some((_, value)) = set else {
            self.out.extend_from_slice(field.kind.zero());
            return Ok(());
        };
        if !field.kind.takes(value) {
            return Err(EncodeError::WrongType {
                class: class.name,
                field: field.name,
                expected: field.kind.name(),
                got: value.kind(),
            });
        }
        self.datum(value)
    }
}

impl Class {
    fn writes_itself(&self) -> bool {
        self.flags & tag::SC_WRITE_METHOD != 0
    }

    fn written_fields(&self) -> &'static [Field] {
        if self.omits_fields { &[] } else { self.fields }
    }
}

impl FieldType {
    /// Zero, false or null as it is written.
    fn zero(self) -> &'static [u8] {
        match self {
            Self::Bool | Self::Byte => &[0],
            Self::Char | Self::Short => &[0; 2],
            Self::Int | Self::Float => &[0; 4],
            Self::Long | Self::Double => &[0; 8],
            Self::Reference(_) => &[tag::NULL],
        }
    }

    fn takes(self, value: &Datum) -> bool {
        use Datum as D;
        match self {
            Self::Bool => matches!(value, D::Bool(_)),
            Self::Byte => matches!(value, D::Byte(_)),
            Self::Char => matches!(value, D::Char(_)),
            Self::Short => matches!(value, D::Short(_)),
            Self::Int => matches!(value, D::Int(_)),
            Self::Long => matches!(value, D::Long(_)),
            Self::Float => matches!(value, D::Float(_)),
            Self::Double => matches!(value, D::Double(_)),
            Self::Reference(_) => !value.is_primitive(),
        }
    }
}
