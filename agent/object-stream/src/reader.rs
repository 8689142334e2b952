//! Parses a stream into a [`Graph`].

mod frame;
mod input;

use crate::error::{ReadError, ReadErrorKind as Kind};
use crate::graph::{Content, FieldDesc, Graph, Level, ObjectId, Stored, Value};
use crate::limits::ReadOptions;
use crate::tag;
use crate::text::JavaStr;
use frame::{Frame, OpenArray, OpenDesc, OpenInstance, Step};
use input::{Input, Read, within};

pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    options: &ReadOptions<'_>,
) -> Result<Graph<'a>, ReadError> {
    let mut reader = Reader {
        input: Input::new(bytes),
        memory: 0,
        handles: Vec::new(),
        frames: Vec::new(),
        graph: Graph::default(),
        options,
    };
    match reader.stream(bytes) {
        Ok(()) => Ok(reader.graph),
        Err(kind) => Err(ReadError { offset: reader.input.at(), kind }),
    }
}

struct Reader<'a, 'o> {
    input: Input<'a>,
    /// Counted by [`Reader::charge`].
    memory: usize,
    handles: Vec<ObjectId>,
    /// The objects that are being read, the innermost last.
    frames: Vec<Frame<'a>>,
    graph: Graph<'a>,
    options: &'o ReadOptions<'o>,
}

impl<'a> Reader<'a, '_> {
    fn stream(&mut self, bytes: &[u8]) -> Read<()> {
        within("stream length", bytes.len() as u64, self.options.limits.stream_bytes)?;
        if !bytes.starts_with(&tag::MAGIC) {
            let got = bytes.get(..4).unwrap_or(bytes).to_vec();
            return Err(Kind::NotAStream { got });
        }
        self.input.take(tag::MAGIC.len() as u64)?;
        while !self.input.is_at_end() {
            let content = match self.input.peek()? {
                tag::RESET => {
                    self.input.skip();
                    self.handles.clear();
                    Content::Reset
                }
                tag::EXCEPTION => {
                    self.input.skip();
                    Content::Exception(self.throwable()?)
                }
                _ => match self.block()? {
                    Some(block) => block,
                    None => Content::Value(self.value("a value or block data")?),
                },
            };
            self.charge(size_of::<Content<'_>>())?;
            self.graph.contents.push(content);
        }
        Ok(())
    }

    /// Counts memory that the graph is about to take.
    ///
    /// A few bytes of a stream can stand for much more: an instance of a class with 300 empty
    /// superclasses is six bytes and 300 levels. What counts is the sum.
    fn charge(&mut self, bytes: usize) -> Read<()> {
        self.memory = self.memory.saturating_add(bytes);
        let limit = self.options.limits.memory_bytes;
        within("memory for the graph, in bytes,", self.memory as u64, limit)
    }

    // Handles.

    fn reserve(&mut self) -> Read<ObjectId> {
        let count = self.graph.objects.len();
        within("number of objects", count as u64 + 1, self.options.limits.objects)?;
        let too_many = Kind::TooMuch { what: "number of objects", got: count as u64, limit: count };
        let id = ObjectId(u32::try_from(count).map_err(|_| too_many)?);
        self.charge(size_of::<Stored<'_>>() + size_of::<ObjectId>())?;
        self.graph.objects.push(Stored::Pending);
        self.handles.push(id);
        Ok(id)
    }

    fn fill(&mut self, id: ObjectId, object: Stored<'a>) {
        if let Some(slot) = self.graph.objects.get_mut(id.0 as usize) {
            *slot = object;
        }
    }

    fn store(&mut self, object: Stored<'a>) -> Read<ObjectId> {
        let id = self.reserve()?;
        self.fill(id, object);
        Ok(id)
    }

    /// After `TC_REFERENCE`: the handle as it stands in the stream, and what it names.
    fn reference(&mut self, expected: &'static str) -> Read<(u32, ObjectId)> {
        let handle = self.input.u32()?;
        let index = handle.checked_sub(tag::BASE_HANDLE).map(|index| index as usize);
        let id = index.and_then(|index| self.handles.get(index)).copied();
        Ok((handle, id.ok_or(Kind::BadHandle { handle, expected })?))
    }

    // Values.

    /// Reads one value with all that is nested in it.
    fn value(&mut self, expected: &'static str) -> Read<Value> {
        let mut child = self.begin(expected)?;
        while let Some(mut frame) = self.frames.pop() {
            let step = frame.resume(self, child.take())?;
            if !matches!(step, Step::Done(_)) {
                self.frames.push(frame);
            }
            child = match step {
                Step::Value(expected) => self.begin(expected)?,
                Step::Desc => self.begin_desc()?,
                Step::Done(id) => Some(Value::Object(id)),
            };
        }
        Ok(child.unwrap_or(Value::Null))
    }

    /// Reads a value that nothing is nested in, or opens a frame for it.
    fn begin(&mut self, expected: &'static str) -> Read<Option<Value>> {
        let leaf = self.leaf()?;
        if leaf.is_some() {
            return Ok(leaf);
        }
        let frame = match self.input.u8()? {
            tag::OBJECT => Frame::Instance(OpenInstance::default()),
            tag::ARRAY => Frame::Array(OpenArray::default()),
            tag::CLASS => Frame::Class,
            tag::ENUM => Frame::Enum,
            tag::CLASS_DESC => Frame::Desc(OpenDesc::plain(self)?),
            tag::PROXY_CLASS_DESC => Frame::Desc(OpenDesc::proxy(self)?),
            tag::EXCEPTION => {
                self.handles.clear();
                Frame::WriterFailed
            }
            got => return Err(Kind::UnexpectedTag { expected, got }),
        };
        self.open(frame)
    }

    /// The same for a class descriptor or null.
    fn begin_desc(&mut self) -> Read<Option<Value>> {
        let expected = "a class descriptor";
        let frame = match self.input.u8()? {
            tag::NULL => return Ok(Some(Value::Null)),
            tag::REFERENCE => {
                let (handle, id) = self.reference(expected)?;
                return match self.graph.get(id) {
                    Stored::ClassDesc(_) | Stored::ProxyDesc(_) => Ok(Some(Value::Object(id))),
                    // Among them `Pending`: a descriptor cannot be part of its own description.
                    _ => Err(Kind::BadHandle { handle, expected }),
                };
            }
            tag::CLASS_DESC => Frame::Desc(OpenDesc::plain(self)?),
            tag::PROXY_CLASS_DESC => Frame::Desc(OpenDesc::proxy(self)?),
            got => return Err(Kind::UnexpectedTag { expected, got }),
        };
        self.open(frame)
    }

    fn open(&mut self, frame: Frame<'a>) -> Read<Option<Value>> {
        let depth = self.frames.len() as u64 + 1;
        within("nesting depth", depth, self.options.limits.depth)?;
        self.frames.push(frame);
        Ok(None)
    }

    /// A null, a reference or a string; nothing if something else is next.
    fn leaf(&mut self) -> Read<Option<Value>> {
        let id = match self.input.peek()? {
            tag::NULL => {
                self.input.skip();
                return Ok(Some(Value::Null));
            }
            tag::REFERENCE => {
                self.input.skip();
                self.reference("an object read before")?.1
            }
            tag::STRING => {
                self.input.skip();
                let text = self.short_text()?;
                self.store(Stored::String(text))?
            }
            tag::LONG_STRING => {
                self.input.skip();
                let length = self.input.u64()?;
                let text = self.input.text(length, &self.options.limits)?;
                self.store(Stored::String(text))?
            }
            _ => return Ok(None),
        };
        Ok(Some(Value::Object(id)))
    }

    /// A string or a reference to one.
    fn string(&mut self, expected: &'static str) -> Read<ObjectId> {
        let got = self.input.peek()?;
        match self.leaf()? {
            Some(Value::Object(id)) if matches!(self.graph.get(id), Stored::String(_)) => Ok(id),
            _ => Err(Kind::UnexpectedTag { expected, got }),
        }
    }

    fn short_text(&mut self) -> Read<JavaStr<'a>> {
        self.input.short_text(&self.options.limits)
    }

    fn block(&mut self) -> Read<Option<Content<'a>>> {
        let length = match self.input.peek()? {
            tag::BLOCK_DATA => {
                self.input.skip();
                self.input.u8()?.into()
            }
            tag::BLOCK_DATA_LONG => {
                self.input.skip();
                self.input.u32()?
            }
            _ => return Ok(None),
        };
        Ok(Some(Content::Block(self.input.take(length.into())?.into())))
    }

    /// Reads block data and values up to the end mark (true) or to a nested value (false).
    fn contents(&mut self, contents: &mut Vec<Content<'a>>) -> Read<bool> {
        loop {
            if self.input.peek()? == tag::END_BLOCK_DATA {
                self.input.skip();
                return Ok(true);
            }
            self.charge(size_of::<Content<'_>>())?;
            let content = match self.block()? {
                Some(block) => block,
                None => match self.leaf()? {
                    Some(value) => Content::Value(value),
                    None => return Ok(false),
                },
            };
            contents.push(content);
        }
    }

    // Throwables.

    /// After `TC_EXCEPTION` at top level: handles start anew before and after the throwable.
    fn throwable(&mut self) -> Read<ObjectId> {
        self.handles.clear();
        let value = self.value("the throwable that stopped the writer")?;
        self.handles.clear();
        match value {
            Value::Object(id) => Ok(id),
            _ => Err(Kind::UnexpectedTag { expected: "a throwable", got: tag::NULL }),
        }
    }

    fn writer_failed(&self, throwable: Value) -> Kind {
        let node = crate::node::Node::new(&self.graph, throwable);
        let message = node.field("detailMessage").ok().and_then(|message| message.as_str());
        let class = node.class_name().unwrap_or_default();
        let told = message.map(|message| format!("{class}: {message}"));
        Kind::WriterFailed(told.unwrap_or_else(|| class.to_string()))
    }

    // Classes and their data.

    fn field_descs(&mut self) -> Read<Vec<FieldDesc<'a>>> {
        let count = self.input.u16()?;
        let mut fields = Vec::with_capacity(self.input.plausible(count.into(), 3));
        for _ in 0..count {
            self.charge(size_of::<FieldDesc<'_>>())?;
            let code = self.input.u8()?;
            if !b"BCDFIJSZL[".contains(&code) {
                return Err(Kind::BadFieldType(char::from(code).to_string()));
            }
            let name = self.short_text()?;
            let signature = match code {
                b'L' | b'[' => Some(self.string("the string of a type signature")?),
                _ => None,
            };
            fields.push(FieldDesc { code, name, signature });
        }
        Ok(fields)
    }

    /// The descriptors from the class itself up to its root.
    fn hierarchy(&mut self, class: ObjectId) -> Read<Vec<ObjectId>> {
        let mut chain = Vec::new();
        let mut next = Some(class);
        while let Some(id) = next {
            chain.push(id);
            self.charge(size_of::<Level<'_>>())?;
            // Parents are complete before their children, so there is no cycle; the bound holds for
            // chains made of references to earlier ones.
            within("superclasses", chain.len() as u64, self.options.limits.depth)?;
            next = match self.graph.get(id) {
                Stored::ClassDesc(desc) => desc.parent,
                Stored::ProxyDesc(desc) => desc.parent,
                _ => None,
            };
        }
        Ok(chain)
    }

    /// Whether a class with a `writeObject` method left its declared fields out: named by the
    /// caller, or plain to see because no reference begins with block data or its end.
    fn without_fields(&self, class: ObjectId) -> Read<bool> {
        let Some(desc) = self.graph.class_desc(class) else { return Ok(false) };
        let Some(first) = desc.fields.first() else { return Ok(false) };
        if self.options.without_default_fields.iter().any(|known| desc.name.is(known)) {
            return Ok(true);
        }
        let next = self.input.peek()?;
        let no_reference =
            matches!(next, tag::BLOCK_DATA | tag::BLOCK_DATA_LONG | tag::END_BLOCK_DATA);
        Ok(no_reference && matches!(first.code, b'L' | b'['))
    }

    fn opaque(&self, class: ObjectId) -> Kind {
        let name = self.graph.class_desc(class).map(|desc| desc.name.to_string());
        Kind::OpaqueExternal(name.unwrap_or_default())
    }

    /// The value of a class's field, or nothing if it is nested.
    fn field(&mut self, class: ObjectId, at: usize) -> Read<Option<Value>> {
        // Looked up each time: a copy of a long list for each of many instances would be a trap.
        let field = self.graph.class_desc(class).and_then(|desc| desc.fields.get(at));
        let input = &mut self.input;
        Ok(Some(match field.map(|field| field.code) {
            Some(b'Z') => Value::Bool(input.u8()? != 0),
            Some(b'B') => Value::Byte(i8::from_be_bytes(input.array()?)),
            Some(b'C') => Value::Char(input.u16()?),
            Some(b'S') => Value::Short(i16::from_be_bytes(input.array()?)),
            Some(b'I') => Value::Int(i32::from_be_bytes(input.array()?)),
            Some(b'J') => Value::Long(i64::from_be_bytes(input.array()?)),
            Some(b'F') => Value::Float(f32::from_be_bytes(input.array()?)),
            Some(b'D') => Value::Double(f64::from_be_bytes(input.array()?)),
            _ => return self.leaf(),
        }))
    }
}
