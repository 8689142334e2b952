//! Comparison by meaning: two graphs, node by node, with the named tolerances and nothing else.

mod answer;
mod archive;
mod collections;
mod descriptor;
mod log;
mod remoting;

use std::collections::{HashMap, HashSet};
use std::fmt;

use java_object_stream::{Items, Node, ObjectId, Stored, Value};

pub use answer::{answer, call, end, is_result, refusal};
pub use descriptor::Loader;
pub use log::stream;

use crate::facts::{Facts, Span};
use crate::mapping::Mapping;
use crate::recording::Recording;
use crate::tolerances;

/// Where and how two things differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, from the root.
    pub place: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.place, self.expected, self.actual)
    }
}

/// What a comparison may draw on.
pub struct Context<'c> {
    /// This run's object ids and names; new ones are added.
    pub mapping: &'c mut Mapping,
    /// The machine.
    pub facts: &'c dyn Facts,
    /// When the answer can have been made: from the request to the answer.
    pub span: Span,
    /// When the session has been running.
    pub session: Span,
    /// The callable whose answer it is.
    pub callable: &'c str,
    /// The payload of the request, for rules that depend on what was asked for.
    pub request: &'c [u8],
    /// The recording.
    pub recording: &'c Recording,
    /// The class loaders that the controller has handed over.
    pub loaders: &'c HashSet<i32>,
    /// What is known about files with random content.
    pub random: &'c mut Random,
}

/// Random content cannot be as recorded. What the agent sent of it is kept, so that digests of it
/// can be checked.
#[derive(Debug, Clone, Default)]
pub struct Random {
    /// Whether a script of the recording reads `/dev/urandom`.
    pub expected: bool,
    /// The random files that this agent archived, by their names in the archive.
    pub files: HashMap<String, Digests>,
}

/// Digests of one file, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: String,
    /// SHA-256.
    pub sha256: String,
}

/// One comparison of two graphs.
pub struct Comparison<'c, 'x> {
    /// The context.
    pub context: &'x mut Context<'c>,
    /// What was found.
    pub differences: Vec<Difference>,
    place: Vec<String>,
    seen: HashSet<(ObjectId, ObjectId)>,
}

impl<'c, 'x> Comparison<'c, 'x> {
    /// A comparison that begins at a place of this name.
    pub fn new(context: &'x mut Context<'c>, place: &str) -> Self {
        Self {
            context,
            differences: Vec::new(),
            place: vec![place.to_owned()],
            seen: HashSet::new(),
        }
    }

    /// Notes a difference here.
    pub fn differ(&mut self, expected: impl fmt::Display, actual: impl fmt::Display) {
        self.differences.push(Difference {
            place: self.place.join("."),
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }

    /// Compares one level deeper.
    pub fn at<R>(&mut self, place: impl Into<String>, compare: impl FnOnce(&mut Self) -> R) -> R {
        self.place.push(place.into());
        let result = compare(self);
        self.place.pop();
        result
    }

    /// Compares two values.
    pub fn node(&mut self, expected: Node<'_>, actual: Node<'_>) {
        let (Some(left), Some(right)) = (expected.id(), actual.id()) else {
            if !same_primitive(expected.value(), actual.value()) {
                self.differ(show(expected), show(actual));
            }
            return;
        };
        if !self.seen.insert((left, right)) {
            return;
        }
        match (expected.stored(), actual.stored()) {
            (Some(Stored::String(left)), Some(Stored::String(right))) => {
                let left = left.to_str();
                if self.context.mapping.text(&left) != right.to_str() {
                    self.differ(format!("{left:?}"), format!("{:?}", right.to_str()));
                }
            }
            (Some(Stored::Instance(_)), Some(Stored::Instance(_))) => {
                self.instance(expected, actual)
            }
            (Some(Stored::Array(left)), Some(Stored::Array(right))) => {
                self.descriptor(expected, left.class, actual, right.class);
                self.items(expected, &left.items, actual, &right.items);
            }
            (
                Some(Stored::Enum { class: left, constant: left_name }),
                Some(Stored::Enum { class: right, constant: right_name }),
            ) => {
                self.descriptor(expected, *left, actual, *right);
                self.node(
                    expected.at(Value::Object(*left_name)),
                    actual.at(Value::Object(*right_name)),
                );
            }
            (Some(Stored::Class(left)), Some(Stored::Class(right))) => {
                self.descriptor(expected, *left, actual, *right);
            }
            _ => self.differ(show(expected), show(actual)),
        }
    }

    fn instance(&mut self, expected: Node<'_>, actual: Node<'_>) {
        if expected.class_name() != actual.class_name()
            || expected.proxy_interfaces() != actual.proxy_interfaces()
        {
            self.differ(show(expected), show(actual));
            return;
        }
        if let (Some(left), Some(right)) = (expected.instance(), actual.instance()) {
            self.descriptor(expected, left.class, actual, right.class);
        }
        if self.remoting(expected, actual) || self.collection(expected, actual) {
            return;
        }
        self.fields(expected, actual);
        self.extras(expected, actual);
    }

    /// Compares all fields.
    fn fields(&mut self, expected: Node<'_>, actual: Node<'_>) {
        let class = expected.class_name().unwrap_or_default().into_owned();
        let (left, right) = (expected.fields(), actual.fields());
        for (name, value) in &left {
            if tolerances::is_diagnostic(expected, name) {
                continue;
            }
            let Some((_, other)) = right.iter().find(|(other, _)| other == name) else {
                if !tolerances::may_be_absent(expected, name) {
                    self.at(name.as_ref(), |this| this.differ(show(*value), "no such field"));
                }
                continue;
            };
            self.at(name.as_ref(), |this| {
                match tolerances::field(this.context, expected, actual, name) {
                    Some(Ok(())) => {}
                    Some(Err(wanted)) => this.differ(wanted, show(*other)),
                    None => this.node(*value, *other),
                }
            });
        }
        for (name, value) in &right {
            if !left.iter().any(|(known, _)| known == name) {
                self.at(name.as_ref(), |this| {
                    this.differ(format!("no such field of {class}"), show(*value))
                });
            }
        }
    }

    /// Compares what the classes wrote beside their fields.
    fn extras(&mut self, expected: Node<'_>, actual: Node<'_>) {
        let levels = |node: Node<'_>| -> Vec<(Vec<u8>, Vec<Value>)> {
            let mut all = Vec::new();
            for level in
                node.instance().map(|instance| instance.levels.as_slice()).unwrap_or_default()
            {
                let (mut block, mut values) = (Vec::new(), Vec::new());
                for content in level.extra.iter().flatten() {
                    match content {
                        java_object_stream::Content::Block(bytes) => block.extend_from_slice(bytes),
                        java_object_stream::Content::Value(value) => values.push(*value),
                        _ => {}
                    }
                }
                all.push((block, values));
            }
            all
        };
        let (left, right) = (levels(expected), levels(actual));
        if left.len() != right.len() {
            self.differ(format!("{} classes with data", left.len()), right.len());
            return;
        }
        for ((left_block, left_values), (right_block, right_values)) in left.iter().zip(&right) {
            if left_block != right_block {
                self.differ(format!("block data {left_block:02x?}"), format!("{right_block:02x?}"));
            }
            self.values(expected, left_values, actual, right_values);
        }
    }

    fn values(&mut self, expected: Node<'_>, left: &[Value], actual: Node<'_>, right: &[Value]) {
        if left.len() != right.len() {
            self.differ(format!("{} elements", left.len()), right.len());
        }
        for (index, (left, right)) in left.iter().zip(right).enumerate() {
            self.at(format!("[{index}]"), |this| this.node(expected.at(*left), actual.at(*right)));
        }
    }

    /// Compares user streams inside of byte arrays.
    pub fn nested(&mut self, left: &[u8], right: &[u8]) {
        let (left, right) = match (crate::wire::parse(left), crate::wire::parse(right)) {
            (Ok(left), Ok(right)) => (left, right),
            (_, Err(problem)) => return self.differ("an object stream", problem),
            (Err(problem), _) => return self.differ(problem, "an object stream"),
        };
        let mut inner = Comparison::new(self.context, &self.place.join("."));
        if left.contents().len() != right.contents().len() {
            inner.differ(format!("{} values", left.contents().len()), right.contents().len());
        }
        for (wanted, got) in left.roots().zip(right.roots()) {
            match tolerances::root(inner.context, wanted, got) {
                Some(Ok(())) => {}
                Some(Err(demand)) => inner.differ(demand, show(got)),
                None => inner.node(wanted, got),
            }
        }
        let found = inner.differences;
        self.differences.extend(found);
    }

    fn items(&mut self, expected: Node<'_>, left: &Items<'_>, actual: Node<'_>, right: &Items<'_>) {
        match (left, right) {
            (Items::Bytes(left), Items::Bytes(right)) if left.starts_with(MAGIC) => {
                self.nested(left, right)
            }
            (Items::Values(left), Items::Values(right)) => {
                self.values(expected, left, actual, right)
            }
            (left, right) if left == right => {}
            (left, right) => self.differ(show_items(left), show_items(right)),
        }
    }
}

/// How every object stream begins.
const MAGIC: &[u8] = b"\xac\xed\x00\x05";

fn same_primitive(left: Value, right: Value) -> bool {
    match (left, right) {
        // By bits: NaN is NaN, and the two zeros are two values.
        (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits(),
        (Value::Double(left), Value::Double(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}

/// A value in a few words.
#[must_use]
pub fn show(node: Node<'_>) -> String {
    match node.value() {
        Value::Object(_) => match node.as_str() {
            Some(text) => format!("{text:?}"),
            None => node.describe(),
        },
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Byte(value) => value.to_string(),
        Value::Char(value) => format!("char {value}"),
        Value::Short(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Long(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
    }
}

fn show_items(items: &Items<'_>) -> String {
    let mut text = format!("{items:?}");
    if text.len() > 200 {
        let end = (0..=200).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
