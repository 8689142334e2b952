//! Class loaders in user streams (`hudson.remoting.MultiClassLoaderSerializer`): a tag in the
//! annotation of every class descriptor says which loader the class belongs to.

use std::collections::{BTreeSet, HashMap};

use java_object_stream::{Annotate, Content, Graph, Node, ObjectId, Stored};

/// `TAG_SYSTEMCLASSLOADER`: the boot loader.
const BOOT: i32 = -3;
/// `TAG_EXPORTEDCLASSLOADER`: a loader that the writer exports; its oid follows.
const WRITERS: i32 = -2;
/// `TAG_LOCALCLASSLOADER`: a loader that the reader exports; its oid follows.
const READERS: i32 = -1;

/// Where a class of a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// The JDK.
    Boot,
    /// A loader exported by the stream's writer.
    Writer(i32),
    /// A loader exported by the stream's reader.
    Reader(i32),
}

/// The loaders of all classes of a received user stream.
#[derive(Debug, Default)]
pub struct Loaders {
    by_class: HashMap<ObjectId, Loader>,
}

/// Tags the classes of a stream to be written: those of the JDK with the boot loader, all others
/// with one loader of the reader, named by its oid there.
#[derive(Debug)]
pub struct LoaderTags {
    oid: i32,
    mentioned: bool,
}

impl Loaders {
    /// Resolves the tags of a stream. Later mentions of a loader are indices into the earlier ones.
    #[must_use]
    pub fn of(graph: &Graph<'_>) -> Self {
        let mut mentioned = Vec::new();
        let mut by_class = HashMap::new();
        for node in graph.objects() {
            let annotation = match node.stored() {
                Some(Stored::ClassDesc(desc)) => &desc.annotation,
                Some(Stored::ProxyDesc(desc)) => &desc.annotation,
                _ => continue,
            };
            let Some(Content::Block(block)) = annotation.first() else { continue };
            let mut integers =
                block.as_chunks::<4>().0.iter().map(|word| i32::from_be_bytes(*word));
            let loader = match (integers.next(), integers.next()) {
                (Some(BOOT), _) => Some(Loader::Boot),
                (Some(WRITERS), Some(oid)) => {
                    mentioned.push(Loader::Writer(oid));
                    mentioned.last().copied()
                }
                (Some(READERS), Some(oid)) => {
                    mentioned.push(Loader::Reader(oid));
                    mentioned.last().copied()
                }
                (Some(index), _) => {
                    usize::try_from(index).ok().and_then(|index| mentioned.get(index)).copied()
                }
                (None, _) => None,
            };
            if let (Some(id), Some(loader)) = (node.id(), loader) {
                by_class.insert(id, loader);
            }
        }
        Self { by_class }
    }

    /// The loader of a class, by its descriptor.
    #[cfg(test)]
    pub(crate) fn of_class(&self, desc: ObjectId) -> Option<Loader> {
        self.by_class.get(&desc).copied()
    }

    /// The writer's loader of an object's class, by oid.
    #[must_use]
    pub fn writers(&self, node: Node<'_>) -> Option<i32> {
        match self.by_class.get(&node.instance()?.class)? {
            Loader::Writer(oid) => Some(*oid),
            Loader::Boot | Loader::Reader(_) => None,
        }
    }
}

impl Loaders {
    /// The writer's loaders, each once: a stream gives the reader one reference of each.
    pub(crate) fn of_writer(&self) -> BTreeSet<i32> {
        let oids = self.by_class.values().filter_map(|loader| match loader {
            Loader::Writer(oid) => Some(*oid),
            Loader::Boot | Loader::Reader(_) => None,
        });
        oids.collect()
    }
}

impl LoaderTags {
    /// Tags for a reader that exports the loader `oid`.
    #[must_use]
    pub fn new(oid: i32) -> Self {
        Self { oid, mentioned: false }
    }
}

impl Annotate for LoaderTags {
    fn annotate(&mut self, class: &str, block: &mut Vec<u8>) {
        if is_of_the_jdk(class) {
            block.extend(BOOT.to_be_bytes());
        } else if self.mentioned {
            // The only loader mentioned has the index 0.
            block.extend(0_i32.to_be_bytes());
        } else {
            self.mentioned = true;
            block.extend(READERS.to_be_bytes());
            block.extend(self.oid.to_be_bytes());
        }
    }
}

/// Whether a class, or the element type of an array class, belongs to the boot loader.
fn is_of_the_jdk(class: &str) -> bool {
    match class.strip_prefix('[').map(|element| element.trim_start_matches('[')) {
        Some(element) => element.strip_prefix('L').is_none_or(|name| name.starts_with("java.")),
        None => class.starts_with("java."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use java_object_stream::{Class, Datum, Object, ReadOptions, encode, jdk};

    static ITEM: Class = Class::new("demo.Item", 1);
    static OTHER: Class = Class::new("demo.Other", 1).extends(&ITEM);

    #[test]
    fn what_is_tagged_is_resolved() {
        let items = vec![Object::new(&OTHER).into(), jdk::boolean(true), Datum::Bytes(vec![1])];
        let bytes = encode(&jdk::array_list(items), &mut LoaderTags::new(7)).unwrap();
        let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
        let loaders = Loaders::of(&graph);
        let mut seen: Vec<_> = graph
            .objects()
            .filter_map(|node| {
                let Some(Stored::ClassDesc(desc)) = node.stored() else { return None };
                Some((desc.name.to_string(), loaders.by_class[&node.id()?]))
            })
            .collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            seen,
            [
                ("[B".to_owned(), Loader::Boot),
                ("demo.Item".to_owned(), Loader::Reader(7)),
                ("demo.Other".to_owned(), Loader::Reader(7)),
                ("java.lang.Boolean".to_owned(), Loader::Boot),
                ("java.util.ArrayList".to_owned(), Loader::Boot),
            ]
        );
    }

    #[test]
    fn arrays_belong_to_the_loader_of_their_elements() {
        for (class, expected) in [
            ("[B", true),
            ("[[J", true),
            ("[Ljava.lang.String;", true),
            ("[Lhudson.FilePath;", false),
            ("java.util.List", true),
            ("javax.Thing", false),
        ] {
            assert_eq!(is_of_the_jdk(class), expected, "{class}");
        }
    }
}
