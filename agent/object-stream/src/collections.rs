//! The JDK's collections, read from the data that they write themselves.

use crate::error::AccessError;
use crate::graph::{Array, Items, Stored, Value};
use crate::node::Node;

/// Collections that write a block, in which a count may stand, and then their elements.
const LISTED: [&str; 11] = [
    "java.util.ArrayList",
    "java.util.LinkedList",
    "java.util.ArrayDeque",
    "java.util.PriorityQueue",
    "java.util.HashSet",
    "java.util.TreeSet",
    "java.util.concurrent.CopyOnWriteArrayList",
    "java.util.concurrent.ConcurrentLinkedQueue",
    "java.util.concurrent.ConcurrentLinkedDeque",
    "java.util.concurrent.LinkedBlockingQueue",
    "java.util.concurrent.LinkedBlockingDeque",
];

/// Wrappers and array lists with the field that holds what they wrap.
const WRAPPERS: [(&str, &str); 11] = [
    ("java.util.Arrays$ArrayList", "a"),
    ("java.util.Collections$UnmodifiableCollection", "c"),
    ("java.util.Collections$SynchronizedCollection", "c"),
    ("java.util.Collections$CheckedCollection", "c"),
    ("java.util.Collections$UnmodifiableMap", "m"),
    ("java.util.Collections$SynchronizedMap", "m"),
    ("java.util.Collections$CheckedMap", "m"),
    ("java.util.EnumSet$SerializationProxy", "elements"),
    ("java.util.concurrent.CopyOnWriteArraySet", "al"),
    ("com.google.common.collect.ImmutableList$SerializedForm", "elements"),
    ("com.google.common.collect.ImmutableSet$SerializedForm", "elements"),
];

const EMPTY: [&str; 3] = [
    "java.util.Collections$EmptyList",
    "java.util.Collections$EmptySet",
    "java.util.Collections$EmptyMap",
];

const MAPS: [&str; 7] = [
    "java.util.HashMap",
    "java.util.TreeMap",
    "java.util.Hashtable",
    "java.util.concurrent.ConcurrentHashMap",
    "java.util.concurrent.ConcurrentSkipListMap",
    "java.util.IdentityHashMap",
    "java.util.EnumMap",
];

/// Sets that are the keys of the map in their field `m`.
const KEY_SETS: [&str; 2] =
    ["java.util.Collections$SetFromMap", "java.util.concurrent.ConcurrentSkipListSet"];

/// The serial form of `List.of`, `Set.of` and `Map.of`.
const IMMUTABLE: &str = "java.util.CollSer";

/// How far wrappers may wrap wrappers; the JDK's own calls make two or three of them.
const MAX_WRAPPERS: usize = 16;

impl<'g> Node<'g> {
    /// The elements of an array or of a collection of the JDK.
    ///
    /// Of a primitive array each element becomes a node of 24 bytes; read those through
    /// [`Node::stored`], or as `Vec` of the primitive type.
    ///
    /// # Errors
    /// When this is neither, or its data is incomplete.
    pub fn elements(self) -> Result<Vec<Node<'g>>, AccessError> {
        self.each_element().map(Iterator::collect)
    }

    /// The same one by one, so that nothing is allocated for a list of the wrong type.
    pub(crate) fn each_element(
        self,
    ) -> Result<Box<dyn Iterator<Item = Node<'g>> + 'g>, AccessError> {
        let node = self.unwrap_collection()?;
        if let Some(Stored::Array(array)) = node.stored() {
            return Ok(match &array.items {
                Items::Bytes(v) => {
                    Box::new(v.iter().map(move |v| node.at(Value::Byte(v.cast_signed()))))
                }
                Items::Bools(v) => Box::new(v.iter().map(move |v| node.at(Value::Bool(*v)))),
                Items::Chars(v) => Box::new(v.iter().map(move |v| node.at(Value::Char(*v)))),
                Items::Shorts(v) => Box::new(v.iter().map(move |v| node.at(Value::Short(*v)))),
                Items::Ints(v) => Box::new(v.iter().map(move |v| node.at(Value::Int(*v)))),
                Items::Longs(v) => Box::new(v.iter().map(move |v| node.at(Value::Long(*v)))),
                Items::Floats(v) => Box::new(v.iter().map(move |v| node.at(Value::Float(*v)))),
                Items::Doubles(v) => Box::new(v.iter().map(move |v| node.at(Value::Double(*v)))),
                Items::Values(v) => Box::new(v.iter().map(move |v| node.at(*v))),
            });
        }
        node.listed(self)
            .map(|values| -> Box<dyn Iterator<Item = Node<'g>>> { Box::new(values.into_iter()) })
    }

    /// The elements of an unwrapped collection; `asked` is the node that the caller began with.
    fn listed(self, asked: Self) -> Result<Vec<Node<'g>>, AccessError> {
        let node = self;
        if EMPTY.iter().any(|class| node.is_a(class)) {
            return Ok(Vec::new());
        }
        if node.is_a("java.util.Collections$SingletonList")
            || node.is_a("java.util.Collections$SingletonSet")
        {
            return Ok(vec![node.field("element")?]);
        }
        if KEY_SETS.iter().any(|class| node.is_a(class)) {
            let entries = node.field("m")?.entries()?;
            return Ok(entries.into_iter().map(|(key, _)| key).collect());
        }
        if node.is_a("java.util.Vector") {
            // Its array has room for more elements than it holds.
            let count: i32 = node.read_field("elementCount")?;
            let array = node.field("elementData")?;
            let Some(Stored::Array(Array { items: Items::Values(values), .. })) = array.stored()
            else {
                return Err(array.wrong("an array of references"));
            };
            let held = usize::try_from(count).ok().and_then(|count| values.get(..count));
            let expected = "as many elements as it counts";
            let short = || AccessError::ShortData { class: node.describe(), expected };
            return Ok(held.ok_or_else(short)?.iter().map(|value| node.at(*value)).collect());
        }
        if node.is_a(IMMUTABLE) {
            return node.extra(IMMUTABLE).map(|(_, values)| values);
        }
        let class = LISTED.into_iter().find(|class| node.is_a(class));
        let class = class.ok_or_else(|| asked.wrong("an array or a collection"))?;
        let (_, mut values) = node.extra(class)?;
        match class {
            // Its comparator comes first.
            "java.util.TreeSet" if !values.is_empty() => {
                values.remove(0);
            }
            // A null comes last.
            "java.util.concurrent.ConcurrentLinkedQueue"
            | "java.util.concurrent.ConcurrentLinkedDeque"
            | "java.util.concurrent.LinkedBlockingQueue"
            | "java.util.concurrent.LinkedBlockingDeque" => {
                values.pop();
            }
            _ => {}
        }
        Ok(values)
    }

    /// The entries of a map of the JDK, in the order of the stream.
    ///
    /// # Errors
    /// When this is no such map, or its data is incomplete.
    pub fn entries(self) -> Result<Vec<(Node<'g>, Node<'g>)>, AccessError> {
        let node = self.unwrap_collection()?;
        if EMPTY.iter().any(|class| node.is_a(class)) {
            return Ok(Vec::new());
        }
        if node.is_a("java.util.Collections$SingletonMap") {
            return Ok(vec![(node.field("k")?, node.field("v")?)]);
        }
        let class = if node.is_a(IMMUTABLE) {
            IMMUTABLE
        } else {
            let known = MAPS.into_iter().find(|class| node.is_a(class));
            known.ok_or_else(|| self.wrong("a map"))?
        };
        let (_, mut values) = node.extra(class)?;
        if class.starts_with("java.util.concurrent.Concurrent") {
            // These end with null where a key would stand; ConcurrentHashMap adds another.
            while values.last().is_some_and(|last| last.is_null()) {
                values.pop();
            }
        }
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(AccessError::ShortData {
                class: node.describe(),
                expected: "a value for each key",
            });
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn unwrap_collection(self) -> Result<Node<'g>, AccessError> {
        let mut node = self;
        for _ in 0..MAX_WRAPPERS {
            match WRAPPERS.iter().find(|(class, _)| node.is_a(class)) {
                Some((_, field)) => node = node.field(field)?,
                None => return Ok(node),
            }
        }
        Err(self.wrong("a collection that wraps no more than others do"))
    }
}
