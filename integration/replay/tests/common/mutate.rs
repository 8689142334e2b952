//! Alterations of one leaf of an object graph at a time.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

use std::collections::HashSet;

use java_object_stream::{Content, Graph, Items, JavaStr, Level, Node, ObjectId, Stored, Value};
use pilotfish_replay::wire;

/// Fields whose value means nothing to the peer: the rules `diagnostics`, `own-ids` and `hash-order`
/// of `tolerances.rs`, spelled out once more.
const MEANINGLESS: [(&str, &str); 9] = [
    ("java.lang.Throwable", "stackTrace"),
    ("java.lang.Throwable", "suppressedExceptions"),
    ("java.lang.Throwable", "cause"),
    ("hudson.remoting.RemoteInvocationHandler", "origin"),
    ("hudson.remoting.RemoteInvocationHandler", "recordCreatedAt"),
    ("hudson.remoting.RemoteInvocationHandler", "oid"),
    ("java.util.HashMap", "loadFactor"),
    ("java.util.HashMap", "threshold"),
    ("hudson.remoting.Command", "createdAt"),
];

/// One place of a graph.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// For messages.
    pub name: String,
    object: ObjectId,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Field(usize, usize),
    Block(usize, usize),
    Text,
    Item,
    Version,
}

/// Every leaf of a payload that means something.
pub fn leaves(payload: &[u8]) -> Vec<Leaf> {
    let graph = wire::parse(payload).unwrap();
    let mut leaves = Vec::new();
    let mut seen = HashSet::new();
    for root in graph.roots() {
        walk(root, &mut seen, &mut leaves);
    }
    leaves
}

fn walk(node: Node<'_>, seen: &mut HashSet<ObjectId>, leaves: &mut Vec<Leaf>) {
    let Some(id) = node.id() else { return };
    if !seen.insert(id) {
        return;
    }
    let class = node.class_name().map_or_else(|| node.describe(), |name| name.into_owned());
    let mut leaf = |name: &str, place| {
        leaves.push(Leaf { name: format!("{class} {name}"), object: id, place })
    };
    match node.stored().unwrap() {
        Stored::String(_) => leaf("text", Place::Text),
        Stored::Enum { class, constant } => {
            walk(node.at(Value::Object(*constant)), seen, leaves);
            versions(node, *class, seen, leaves);
        }
        Stored::Array(array) => {
            leaf("item", Place::Item);
            if let Items::Values(values) = &array.items {
                values.iter().for_each(|value| walk(node.at(*value), seen, leaves));
            }
        }
        Stored::Instance(instance) => {
            for (index, level) in instance.levels.iter().enumerate() {
                // A dynamic proxy's own level has neither fields nor data.
                let Some(desc) = node.graph().class_desc(level.class) else { continue };
                let of = desc.name.to_str().into_owned();
                for (at, field) in desc.fields.iter().enumerate() {
                    let name = field.name.to_str();
                    if level.fields.is_none() || MEANINGLESS.contains(&(&of, &name)) {
                        continue;
                    }
                    leaves.push(Leaf {
                        name: format!("{class} {name}"),
                        object: id,
                        place: Place::Field(index, at),
                    });
                    walk(node.at(level.fields.as_ref().unwrap()[at]), seen, leaves);
                }
                extras(id, &class, index, &of, level, leaves);
                for content in level.extra.iter().flatten() {
                    if let Content::Value(value) = content {
                        walk(node.at(*value), seen, leaves);
                    }
                }
            }
            versions(node, instance.class, seen, leaves);
        }
        _ => {}
    }
}

/// Block data, unless all it holds is a capacity or an object id of the agent's own choice.
fn extras(
    id: ObjectId,
    class: &str,
    index: usize,
    of: &str,
    level: &Level<'_>,
    leaves: &mut Vec<Leaf>,
) {
    const FREE: [&str; 4] = [
        "java.util.ArrayList",
        "java.util.HashMap",
        "java.util.HashSet",
        "hudson.remoting.RemoteOutputStream",
    ];
    for (at, content) in level.extra.iter().flatten().enumerate() {
        if matches!(content, Content::Block(_)) && !FREE.contains(&of) {
            leaves.push(Leaf {
                name: format!("{class} block"),
                object: id,
                place: Place::Block(index, at),
            });
        }
    }
}

fn versions(node: Node<'_>, class: ObjectId, seen: &mut HashSet<ObjectId>, leaves: &mut Vec<Leaf>) {
    let mut next = Some(class);
    while let Some(id) = next {
        let Some(desc) = node.graph().class_desc(id) else { return };
        let name = desc.name.to_str().into_owned();
        if seen.insert(id) && !name.starts_with('[') {
            leaves.push(Leaf {
                name: format!("{name} serialVersionUID"),
                object: id,
                place: Place::Version,
            });
        }
        next = desc.parent;
    }
}

/// The payload with this leaf altered.
pub fn altered(payload: &[u8], leaf: &Leaf) -> Vec<u8> {
    let mut graph = wire::parse(payload).unwrap();
    let root = graph.root().unwrap().value();
    alter(&mut graph, leaf, root);
    graph.to_bytes()
}

fn alter(graph: &mut Graph<'_>, leaf: &Leaf, root: Value) {
    match (leaf.place, graph.get_mut(leaf.object).unwrap()) {
        (Place::Field(level, at), Stored::Instance(instance)) => {
            let value = &mut instance.levels[level].fields.as_mut().unwrap()[at];
            *value = match *value {
                Value::Null => root,
                Value::Object(_) => Value::Null,
                Value::Bool(value) => Value::Bool(!value),
                Value::Byte(value) => Value::Byte(value ^ 1),
                Value::Char(value) => Value::Char(value ^ 1),
                Value::Short(value) => Value::Short(value ^ 1),
                Value::Int(value) => Value::Int(value ^ 1),
                // Far enough for every span and every size.
                Value::Long(value) => Value::Long(value ^ (1 << 45)),
                Value::Float(value) => Value::Float(value + 1.5),
                Value::Double(value) => Value::Double(value + 1.5),
            };
        }
        (Place::Block(level, at), Stored::Instance(instance)) => {
            let extra = instance.levels[level].extra.as_mut().unwrap();
            let Content::Block(block) = &mut extra[at] else { unreachable!() };
            // The first byte: the rest of a stream's block is its object id.
            block.to_mut()[0] ^= 1;
        }
        (Place::Text, Stored::String(text)) => *text = JavaStr::from(format!("{text}x")),
        (Place::Item, Stored::Array(array)) => match &mut array.items {
            Items::Bytes(bytes) => bytes.to_mut().push(7),
            Items::Bools(items) => items.push(true),
            Items::Chars(items) => items.push(7),
            Items::Shorts(items) => items.push(7),
            Items::Ints(items) => items.push(7),
            Items::Longs(items) => items.push(7),
            Items::Floats(items) => items.push(7.0),
            Items::Doubles(items) => items.push(7.0),
            Items::Values(items) => items.push(Value::Null),
        },
        (Place::Version, Stored::ClassDesc(desc)) => desc.suid ^= 1,
        _ => unreachable!(),
    }
}
