//! Writes a [`Graph`] back, byte for byte as it was read.

use std::collections::HashMap;

use crate::graph::{Content, Graph, Items, Level, ObjectId, Stored, Value};
use crate::tag;
use crate::text::JavaStr;

pub(crate) fn write(graph: &Graph<'_>) -> Vec<u8> {
    let out = tag::MAGIC.to_vec();
    let mut writer = Writer { graph, out, handles: HashMap::new(), next: 0, todo: Vec::new() };
    for content in &graph.contents {
        match content {
            Content::Value(value) => writer.value(*value),
            Content::Block(bytes) => put_block(&mut writer.out, bytes),
            Content::Reset => {
                writer.out.push(tag::RESET);
                writer.forget();
            }
            Content::Exception(id) => {
                writer.out.push(tag::EXCEPTION);
                writer.forget();
                writer.object(*id);
                writer.finish();
                writer.forget();
            }
        }
        writer.finish();
    }
    writer.out
}

struct Writer<'g> {
    graph: &'g Graph<'g>,
    out: Vec<u8>,
    handles: HashMap<ObjectId, u32>,
    next: u32,
    /// What remains of the objects that are being written, the next thing last. A stack of its own,
    /// so that a deep graph does not need a deep stack of the thread.
    todo: Vec<Todo<'g>>,
}

enum Todo<'g> {
    Object(ObjectId),
    /// A descriptor or null.
    Class(Option<ObjectId>),
    Assign(ObjectId),
    Levels(&'g [Level<'g>]),
    Values(&'g [Value]),
    Items(&'g Items<'g>),
    /// Followed by the end mark.
    Contents(&'g [Content<'g>]),
}

impl<'g> Writer<'g> {
    fn forget(&mut self) {
        self.handles.clear();
        self.next = 0;
    }

    fn assign(&mut self, id: ObjectId) {
        self.handles.insert(id, self.next.wrapping_add(tag::BASE_HANDLE));
        self.next = self.next.wrapping_add(1);
    }

    fn finish(&mut self) {
        while let Some(todo) = self.todo.pop() {
            match todo {
                Todo::Object(id) => self.object(id),
                Todo::Class(Some(id)) => self.object(id),
                Todo::Class(None) => self.out.push(tag::NULL),
                Todo::Assign(id) => self.assign(id),
                Todo::Levels(levels) => self.levels(levels),
                Todo::Values(values) => self.values(values),
                Todo::Items(items) => self.items(items),
                Todo::Contents(contents) => self.contents(contents),
            }
        }
    }

    /// Writes up to the first object, notes the rest, and begins with the object.
    fn values(&mut self, mut values: &'g [Value]) {
        while let Some((first, rest)) = values.split_first() {
            if let Value::Object(id) = first {
                self.todo.push(Todo::Values(rest));
                return self.object(*id);
            }
            self.value(*first);
            values = rest;
        }
    }

    /// The same for what a class wrote itself.
    fn contents(&mut self, mut contents: &'g [Content<'g>]) {
        while let Some((first, rest)) = contents.split_first() {
            match first {
                Content::Value(Value::Object(id)) => {
                    self.todo.push(Todo::Contents(rest));
                    return self.object(*id);
                }
                Content::Value(value) => self.value(*value),
                Content::Block(bytes) => put_block(&mut self.out, bytes),
                // Nowhere but at top level, where they are dealt with.
                Content::Reset | Content::Exception(_) => {}
            }
            contents = rest;
        }
        self.out.push(tag::END_BLOCK_DATA);
    }

    fn levels(&mut self, levels: &'g [Level<'g>]) {
        let Some((first, rest)) = levels.split_first() else { return };
        self.todo.push(Todo::Levels(rest));
        self.todo.extend(first.extra.as_deref().map(Todo::Contents));
        self.todo.extend(first.fields.as_deref().map(Todo::Values));
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Null => self.out.push(tag::NULL),
            Value::Object(id) => self.todo.push(Todo::Object(id)),
            Value::Bool(v) => self.out.push(v.into()),
            Value::Byte(v) => self.out.extend(v.to_be_bytes()),
            Value::Char(v) => self.out.extend(v.to_be_bytes()),
            Value::Short(v) => self.out.extend(v.to_be_bytes()),
            Value::Int(v) => self.out.extend(v.to_be_bytes()),
            Value::Long(v) => self.out.extend(v.to_be_bytes()),
            Value::Float(v) => self.out.extend(v.to_be_bytes()),
            Value::Double(v) => self.out.extend(v.to_be_bytes()),
        }
    }

    /// Writes an object up to what may be nested in it, and notes that.
    fn object(&mut self, id: ObjectId) {
        if let Some(handle) = self.handles.get(&id) {
            self.out.push(tag::REFERENCE);
            self.out.extend(handle.to_be_bytes());
            return;
        }
        let graph = self.graph;
        // The last thing noted is written first.
        match graph.get(id) {
            Stored::String(text) => {
                self.assign(id);
                put_string(&mut self.out, text);
            }
            Stored::ClassDesc(desc) => {
                self.out.push(tag::CLASS_DESC);
                put_short_text(&mut self.out, &desc.name);
                self.out.extend(desc.suid.to_be_bytes());
                self.assign(id);
                self.out.push(desc.flags);
                self.out.extend(count16(desc.fields.len()).to_be_bytes());
                for field in &desc.fields {
                    self.out.push(field.code);
                    put_short_text(&mut self.out, &field.name);
                    if let Some(signature) = field.signature {
                        // Always a string, so nothing is noted.
                        self.object(signature);
                    }
                }
                self.todo.push(Todo::Class(desc.parent));
                self.todo.push(Todo::Contents(&desc.annotation));
            }
            Stored::ProxyDesc(desc) => {
                self.out.push(tag::PROXY_CLASS_DESC);
                self.assign(id);
                self.out.extend(count32(desc.interfaces.len()).to_be_bytes());
                for interface in &desc.interfaces {
                    put_short_text(&mut self.out, interface);
                }
                self.todo.push(Todo::Class(desc.parent));
                self.todo.push(Todo::Contents(&desc.annotation));
            }
            Stored::Instance(instance) => {
                self.out.push(tag::OBJECT);
                self.todo.push(Todo::Levels(&instance.levels));
                self.todo.push(Todo::Assign(id));
                self.todo.push(Todo::Object(instance.class));
            }
            Stored::Array(array) => {
                self.out.push(tag::ARRAY);
                self.todo.push(Todo::Items(&array.items));
                self.todo.push(Todo::Assign(id));
                self.todo.push(Todo::Object(array.class));
            }
            Stored::Class(class) => {
                self.out.push(tag::CLASS);
                self.todo.push(Todo::Assign(id));
                self.todo.push(Todo::Object(*class));
            }
            Stored::Enum { class, constant } => {
                self.out.push(tag::ENUM);
                self.todo.push(Todo::Object(*constant));
                self.todo.push(Todo::Assign(id));
                self.todo.push(Todo::Object(*class));
            }
            Stored::Pending => self.out.push(tag::NULL),
        }
    }

    fn items(&mut self, items: &'g Items<'g>) {
        let count = match items {
            Items::Bytes(v) => v.len(),
            Items::Bools(v) => v.len(),
            Items::Chars(v) => v.len(),
            Items::Shorts(v) => v.len(),
            Items::Ints(v) => v.len(),
            Items::Longs(v) => v.len(),
            Items::Floats(v) => v.len(),
            Items::Doubles(v) => v.len(),
            Items::Values(v) => v.len(),
        };
        self.out.extend(count32(count).to_be_bytes());
        match items {
            Items::Bytes(v) => self.out.extend_from_slice(v),
            Items::Bools(v) => self.out.extend(v.iter().map(|v| u8::from(*v))),
            Items::Chars(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Shorts(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Ints(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Longs(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Floats(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Doubles(v) => self.out.extend(v.iter().flat_map(|v| v.to_be_bytes())),
            Items::Values(v) => self.values(v),
        }
    }
}

/// Lengths of a graph that was read fit, since they came out of fields of this width.
fn count16(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn count32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(crate) fn put_short_text(out: &mut Vec<u8>, text: &JavaStr<'_>) {
    let bytes = text.as_modified_utf8();
    out.extend(count16(bytes.len()).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn put_string(out: &mut Vec<u8>, text: &JavaStr<'_>) {
    let bytes = text.as_modified_utf8();
    if bytes.len() <= tag::MAX_SHORT_STRING {
        out.push(tag::STRING);
        put_short_text(out, text);
    } else {
        out.push(tag::LONG_STRING);
        out.extend((bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    }
}

pub(crate) fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(length) = u8::try_from(bytes.len()) {
        out.extend([tag::BLOCK_DATA, length]);
    } else {
        out.push(tag::BLOCK_DATA_LONG);
        out.extend(count32(bytes.len()).to_be_bytes());
    }
    out.extend_from_slice(bytes);
}
