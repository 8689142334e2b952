//! Class descriptors: name, serialVersionUID, flags, fields, superclasses, and the loader tag.

use java_object_stream::{Content, Graph, Node, ObjectId, Stored, Value};

use super::Comparison;
use crate::tolerances;

/// Where a class comes from (`hudson.remoting.MultiClassLoaderSerializer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// No tag: an outer stream.
    None,
    /// The JVM's boot loader.
    Boot,
    /// A loader that the reader exported.
    Readers(i32),
    /// A loader that the writer exported.
    Writers(i32),
    /// No valid tag.
    Broken,
}

impl Comparison<'_, '_> {
    /// Compares two descriptors with their superclasses.
    pub(super) fn descriptor(
        &mut self,
        expected: Node<'_>,
        left: ObjectId,
        actual: Node<'_>,
        right: ObjectId,
    ) {
        if !self.seen.insert((left, right)) {
            return;
        }
        let (left_graph, right_graph) = (expected.graph(), actual.graph());
        let (wanted, got) = (loader(left_graph, left), loader(right_graph, right));
        self.at("class loader", |this| {
            if let Err(rule) = tolerances::loader(this.context.loaders, wanted, got) {
                this.differ(rule, format!("{got:?}"));
            }
        });
        let parents = match (left_graph.get(left), right_graph.get(right)) {
            (Stored::ClassDesc(wanted), Stored::ClassDesc(got)) => {
                if wanted.name != got.name {
                    self.differ(wanted.name.to_str(), got.name.to_str());
                    return;
                }
                let name = wanted.name.to_str().into_owned();
                // The JDK never checks an array class's serialVersionUID (`ObjectStreamClass`).
                if wanted.suid != got.suid && !name.starts_with('[') {
                    self.differ(format!("{name} with serialVersionUID {}", wanted.suid), got.suid);
                }
                if wanted.flags != got.flags {
                    self.differ(
                        format!("{name} with flags {:#x}", wanted.flags),
                        format!("{:#x}", got.flags),
                    );
                }
                let fields = |graph: &Graph<'_>,
                              desc: &java_object_stream::ClassDesc<'_>|
                 -> Vec<String> {
                    desc.fields
                        .iter()
                        .map(|field| {
                            let signature = field.signature.and_then(|id| match graph.get(id) {
                                Stored::String(text) => Some(text.to_str().into_owned()),
                                _ => None,
                            });
                            let code = char::from(field.code).to_string();
                            format!("{} {}", signature.unwrap_or(code), field.name.to_str())
                        })
                        .collect()
                };
                let (mut wanted_fields, got_fields) =
                    (fields(left_graph, wanted), fields(right_graph, got));
                if wanted_fields != got_fields {
                    wanted_fields.retain(|field| {
                        let name = field.rsplit(' ').next().unwrap_or_default();
                        !tolerances::may_be_absent(expected, name)
                    });
                }
                if wanted_fields != got_fields {
                    self.differ(
                        format!("{name} with fields {wanted_fields:?}"),
                        format!("{got_fields:?}"),
                    );
                }
                (wanted.parent, got.parent)
            }
            (Stored::ProxyDesc(wanted), Stored::ProxyDesc(got)) => (wanted.parent, got.parent),
            _ => {
                self.differ("a class descriptor of the same kind", "another");
                return;
            }
        };
        match parents {
            (Some(left), Some(right)) => self.descriptor(expected, left, actual, right),
            (None, None) => {}
            (left, right) => self.differ(
                format!("superclass: {}", left.is_some()),
                format!("superclass: {}", right.is_some()),
            ),
        }
    }
}

/// The loader tag of a descriptor. Tags may count the loaders named before them in the stream, and
/// descriptors stand in a graph in the order of the stream.
fn loader(graph: &Graph<'_>, class: ObjectId) -> Loader {
    let mut named = Vec::new();
    for node in graph.objects() {
        let annotation = match node.stored() {
            Some(Stored::ClassDesc(desc)) => &desc.annotation,
            Some(Stored::ProxyDesc(desc)) => &desc.annotation,
            _ => continue,
        };
        let tag = match annotation.as_slice() {
            [] => Loader::None,
            [Content::Block(block)] => read(block, &named),
            _ => Loader::Broken,
        };
        if matches!(tag, Loader::Readers(_) | Loader::Writers(_))
            && annotation_length(annotation) == 8
        {
            named.push(tag);
        }
        if node.value() == Value::Object(class) {
            return tag;
        }
    }
    Loader::Broken
}

fn annotation_length(annotation: &[Content<'_>]) -> usize {
    match annotation.first() {
        Some(Content::Block(block)) => block.len(),
        _ => 0,
    }
}

fn read(block: &[u8], named: &[Loader]) -> Loader {
    let int = |at: usize| {
        block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
    };
    match (block.len(), int(0), int(4)) {
        (4, Some(-3), _) => Loader::Boot,
        (8, Some(-1), Some(oid)) => Loader::Readers(oid),
        (8, Some(-2), Some(oid)) => Loader::Writers(oid),
        (4, Some(index), _) => usize::try_from(index)
            .ok()
            .and_then(|index| named.get(index))
            .copied()
            .unwrap_or(Loader::Broken),
        _ => Loader::Broken,
    }
}
