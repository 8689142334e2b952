//! Objects that are being read. They stand on a stack of the reader's own, so that a deep graph
//! costs memory that is counted and not the thread's stack.

use std::borrow::Cow;

use super::Reader;
use super::input::{Read, within};
use crate::error::ReadErrorKind as Kind;
use crate::graph::{
    Array, ClassDesc, Content, Instance, Items, Level, ObjectId, ProxyDesc, Stored, Value,
};
use crate::tag;
use crate::text::JavaStr;

/// An object of which a part is still to come.
pub(super) enum Frame<'a> {
    Desc(OpenDesc<'a>),
    Instance(OpenInstance<'a>),
    Array(OpenArray),
    Class,
    Enum,
    /// After `TC_EXCEPTION`, inside of a value.
    WriterFailed,
}

/// What a frame needs next.
pub(super) enum Step {
    /// Any value; the text says what for.
    Value(&'static str),
    /// A class descriptor or null.
    Desc,
    /// Nothing: this is the finished object.
    Done(ObjectId),
}

pub(super) struct OpenDesc<'a> {
    id: ObjectId,
    kind: DescKind<'a>,
    annotation: Vec<Content<'a>>,
    annotated: bool,
}

enum DescKind<'a> {
    Plain(ClassDesc<'a>),
    Proxy(Vec<JavaStr<'a>>),
}

#[derive(Default)]
pub(super) struct OpenInstance<'a> {
    /// The descriptor and the object, once the former is read.
    start: Option<(ObjectId, ObjectId)>,
    /// The classes whose data is still to come, the next one last.
    chain: Vec<ObjectId>,
    levels: Vec<Level<'a>>,
    open: Option<OpenLevel<'a>>,
}

struct OpenLevel<'a> {
    level: Level<'a>,
    /// How many fields the class wrote.
    count: usize,
}

#[derive(Default)]
pub(super) struct OpenArray {
    start: Option<(ObjectId, ObjectId)>,
    count: u32,
    values: Vec<Value>,
}

impl<'a> Frame<'a> {
    /// Goes on reading; `child` is what the step before asked for.
    pub(super) fn resume(
        &mut self,
        reader: &mut Reader<'a, '_>,
        child: Option<Value>,
    ) -> Read<Step> {
        match self {
            Self::Desc(desc) => desc.resume(reader, child),
            Self::Instance(instance) => instance.resume(reader, child),
            Self::Array(array) => array.resume(reader, child),
            Self::Class => {
                let Some(child) = child else { return Ok(Step::Desc) };
                let class = some_desc(child)?;
                reader.store(Stored::Class(class)).map(Step::Done)
            }
            Self::Enum => {
                let Some(child) = child else { return Ok(Step::Desc) };
                let class = some_desc(child)?;
                let id = reader.reserve()?;
                let constant = reader.string("the name of an enum constant")?;
                reader.fill(id, Stored::Enum { class, constant });
                Ok(Step::Done(id))
            }
            Self::WriterFailed => match child {
                None => Ok(Step::Value("the throwable that stopped the writer")),
                Some(throwable) => Err(reader.writer_failed(throwable)),
            },
        }
    }
}

impl<'a> OpenDesc<'a> {
    pub(super) fn plain(reader: &mut Reader<'a, '_>) -> Read<Self> {
        let name = reader.short_text()?;
        let suid = i64::from_be_bytes(reader.input.array()?);
        let id = reader.reserve()?;
        let flags = reader.input.u8()?;
        if flags & tag::SC_SERIALIZABLE != 0 && flags & tag::SC_EXTERNALIZABLE != 0 {
            return Err(Kind::BadFlags { class: name.to_string(), flags });
        }
        let fields = reader.field_descs()?;
        let annotation = Vec::new();
        let desc = ClassDesc { name, suid, flags, fields, annotation, parent: None };
        Ok(Self::open(id, DescKind::Plain(desc)))
    }

    pub(super) fn proxy(reader: &mut Reader<'a, '_>) -> Read<Self> {
        let id = reader.reserve()?;
        let count = reader.input.u32()?;
        let mut interfaces = Vec::with_capacity(reader.input.plausible(count.into(), 2));
        for _ in 0..count {
            reader.charge(size_of::<JavaStr<'_>>())?;
            interfaces.push(reader.short_text()?);
        }
        Ok(Self::open(id, DescKind::Proxy(interfaces)))
    }

    fn open(id: ObjectId, kind: DescKind<'a>) -> Self {
        Self { id, kind, annotation: Vec::new(), annotated: false }
    }

    fn resume(&mut self, reader: &mut Reader<'a, '_>, child: Option<Value>) -> Read<Step> {
        if !self.annotated {
            self.annotation.extend(child.map(Content::Value));
            if !reader.contents(&mut self.annotation)? {
                return Ok(Step::Value(OWN_DATA));
            }
            self.annotated = true;
            return Ok(Step::Desc);
        }
        let parent = child.and_then(reference);
        let annotation = std::mem::take(&mut self.annotation);
        let stored = match &mut self.kind {
            DescKind::Plain(desc) => {
                let name = std::mem::replace(&mut desc.name, JavaStr::from(""));
                let fields = std::mem::take(&mut desc.fields);
                Stored::ClassDesc(ClassDesc {
                    name,
                    fields,
                    annotation,
                    parent,
                    suid: desc.suid,
                    flags: desc.flags,
                })
            }
            DescKind::Proxy(interfaces) => {
                let interfaces = std::mem::take(interfaces);
                Stored::ProxyDesc(ProxyDesc { interfaces, annotation, parent })
            }
        };
        reader.fill(self.id, stored);
        Ok(Step::Done(self.id))
    }
}

impl<'a> OpenInstance<'a> {
    fn resume(&mut self, reader: &mut Reader<'a, '_>, child: Option<Value>) -> Read<Step> {
        let Some((class, id)) = self.start else {
            let Some(child) = child else { return Ok(Step::Desc) };
            let class = some_desc(child)?;
            self.start = Some((class, reader.reserve()?));
            self.chain = reader.hierarchy(class)?;
            self.levels = Vec::with_capacity(self.chain.len());
            return self.resume_levels(reader, class);
        };
        if let (Some(child), Some(open)) = (child, &mut self.open) {
            open.place(child);
        }
        let step = self.resume_levels(reader, class)?;
        debug_assert!(!matches!(step, Step::Done(done) if done != id));
        Ok(step)
    }

    fn resume_levels(&mut self, reader: &mut Reader<'a, '_>, class: ObjectId) -> Read<Step> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(step) = open.resume(reader)? {
                    return Ok(step);
                }
                self.levels.extend(self.open.take().map(|open| open.level));
            }
            let Some(next) = self.chain.pop() else { break };
            self.open = Some(OpenLevel::start(reader, next)?);
        }
        let levels = std::mem::take(&mut self.levels);
        let id = self.start.map_or(class, |(_, id)| id);
        reader.fill(id, Stored::Instance(Instance { class, levels }));
        Ok(Step::Done(id))
    }
}

impl<'a> OpenLevel<'a> {
    fn start(reader: &Reader<'a, '_>, class: ObjectId) -> Read<Self> {
        let (flags, declared) = match reader.graph.get(class) {
            Stored::ClassDesc(desc) => (desc.flags, desc.fields.len()),
            _ => (tag::SC_SERIALIZABLE, 0),
        };
        if flags & tag::SC_EXTERNALIZABLE != 0 {
            if flags & tag::SC_BLOCK_DATA == 0 {
                return Err(reader.opaque(class));
            }
            return Ok(Self {
                level: Level { class, fields: None, extra: Some(Vec::new()) },
                count: 0,
            });
        }
        if flags & tag::SC_SERIALIZABLE == 0 {
            let level = Level { class, fields: Some(Vec::new()), extra: None };
            return Ok(Self { level, count: 0 });
        }
        let writes_itself = flags & tag::SC_WRITE_METHOD != 0;
        let omitted = writes_itself && reader.without_fields(class)?;
        let count = if omitted { 0 } else { declared };
        let values = || Vec::with_capacity(reader.input.plausible(count as u64, 1));
        let fields = (!omitted).then(values);
        Ok(Self { level: Level { class, fields, extra: writes_itself.then(Vec::new) }, count })
    }

    /// Takes a value that was nested: a field's as long as any is missing.
    fn place(&mut self, child: Value) {
        match &mut self.level.fields {
            Some(fields) if fields.len() < self.count => fields.push(child),
            _ => self.level.extra.iter_mut().for_each(|extra| extra.push(Content::Value(child))),
        }
    }

    /// Reads up to the next nested value, or to the end.
    fn resume(&mut self, reader: &mut Reader<'a, '_>) -> Read<Option<Step>> {
        if let Some(fields) = &mut self.level.fields {
            while fields.len() < self.count {
                reader.charge(size_of::<Value>())?;
                match reader.field(self.level.class, fields.len())? {
                    Some(value) => fields.push(value),
                    None => return Ok(Some(Step::Value("a field's value"))),
                }
            }
        }
        if let Some(extra) = &mut self.level.extra
            && !reader.contents(extra)?
        {
            return Ok(Some(Step::Value(OWN_DATA)));
        }
        Ok(None)
    }
}

impl OpenArray {
    fn resume<'a>(&mut self, reader: &mut Reader<'a, '_>, child: Option<Value>) -> Read<Step> {
        let (class, id) = match (self.start, child) {
            (None, None) => return Ok(Step::Desc),
            (None, Some(child)) => {
                let class = some_desc(child)?;
                let id = reader.reserve()?;
                self.start = Some((class, id));
                self.count = reader.input.u32()?;
                within("array length", self.count.into(), reader.options.limits.array_elements)?;
                if let Some(items) = primitives(reader, class, self.count)? {
                    reader.fill(id, Stored::Array(Array { class, items }));
                    return Ok(Step::Done(id));
                }
                self.values = Vec::with_capacity(reader.input.plausible(self.count.into(), 1));
                (class, id)
            }
            (Some(start), child) => {
                self.values.extend(child);
                start
            }
        };
        while self.values.len() < self.count as usize {
            reader.charge(size_of::<Value>())?;
            match reader.leaf()? {
                Some(value) => self.values.push(value),
                None => return Ok(Step::Value("an array's element")),
            }
        }
        let items = Items::Values(std::mem::take(&mut self.values));
        reader.fill(id, Stored::Array(Array { class, items }));
        Ok(Step::Done(id))
    }
}

const OWN_DATA: &str = "a value, block data or its end";

/// The elements of an array of primitives; nothing for one of references.
fn primitives<'a>(
    reader: &mut Reader<'a, '_>,
    class: ObjectId,
    count: u32,
) -> Read<Option<Items<'a>>> {
    // Still borrowed from the stream, so this copies nothing.
    let name = reader.graph.class_desc(class).map(|desc| desc.name.clone());
    let name = name.unwrap_or(JavaStr::from(""));
    Ok(Some(match name.as_modified_utf8() {
        [b'[', b'B'] => Items::Bytes(Cow::Borrowed(reader.input.take(count.into())?)),
        [b'[', b'Z'] => Items::Bools(numbers(reader, count, |[byte]: [u8; 1]| byte != 0)?),
        [b'[', b'C'] => Items::Chars(numbers(reader, count, u16::from_be_bytes)?),
        [b'[', b'S'] => Items::Shorts(numbers(reader, count, i16::from_be_bytes)?),
        [b'[', b'I'] => Items::Ints(numbers(reader, count, i32::from_be_bytes)?),
        [b'[', b'J'] => Items::Longs(numbers(reader, count, i64::from_be_bytes)?),
        [b'[', b'F'] => Items::Floats(numbers(reader, count, f32::from_be_bytes)?),
        [b'[', b'D'] => Items::Doubles(numbers(reader, count, f64::from_be_bytes)?),
        [b'[', b'L' | b'[', _, ..] => return Ok(None),
        _ => return Err(Kind::BadFieldType(name.to_string())),
    }))
}

fn numbers<T, const N: usize>(
    reader: &mut Reader<'_, '_>,
    count: u32,
    from: fn([u8; N]) -> T,
) -> Read<Vec<T>> {
    let bytes = reader.input.take(u64::from(count) * N as u64)?;
    reader.charge(bytes.len())?;
    let (chunks, _) = bytes.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| from(*chunk)).collect())
}

fn reference(value: Value) -> Option<ObjectId> {
    match value {
        Value::Object(id) => Some(id),
        _ => None,
    }
}

fn some_desc(value: Value) -> Read<ObjectId> {
    let expected = "a class descriptor other than null";
    reference(value).ok_or(Kind::UnexpectedTag { expected, got: tag::NULL })
}
