//! The JDK as an oracle, both ways: what `ObjectOutputStream` writes we read and write back byte for
//! byte, and what we encode `ObjectInputStream` reads as equal objects.
//!
//! The Java half stands in `tests/oracle` and is compiled by the tests themselves.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use java_object_stream::{
    AccessError, Content, FromJava, Graph, Limits, Node, ReadErrorKind, ReadOptions, Stored,
};
use support::Jdk;

const OPTIONS: ReadOptions<'_> = ReadOptions {
    limits: Limits::DEFAULT,
    without_default_fields: &["oracle.Shapes$OwnPrimitive"],
};

struct Corpus {
    streams: BTreeMap<String, Vec<u8>>,
}

impl Corpus {
    fn written_by_the_jdk() -> Self {
        let jdk = Jdk::compiled();
        let folder = tempfile::tempdir().unwrap();
        jdk.run("oracle.WriteCorpus", folder.path());
        let streams = read_folder(folder.path());
        Self { streams }
    }

    fn with<T>(&self, name: &str, check: impl FnOnce(&Graph<'_>) -> T) -> T {
        let bytes = self.streams.get(name).unwrap_or_else(|| panic!("no stream {name}"));
        let graph = Graph::parse(bytes, &OPTIONS);
        check(&graph.unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    #[track_caller]
    fn reads<T>(&self, name: &str, expected: &T)
    where
        T: for<'g> FromJava<'g> + PartialEq + std::fmt::Debug,
    {
        let value = self.with(name, |graph| graph.root().and_then(Node::read::<T>));
        assert_eq!(value.as_ref(), Ok(expected), "{name}");
    }
}

#[test]
fn whatever_the_jdk_writes_comes_back_byte_for_byte_and_with_its_values() {
    let corpus = Corpus::written_by_the_jdk();
    let mut kept = 0;
    for (name, bytes) in &corpus.streams {
        match (name.as_str(), Graph::parse(bytes, &OPTIONS)) {
            ("protocol-1", Err(error)) => {
                let class = "oracle.Shapes$External".to_owned();
                assert_eq!(error.kind, ReadErrorKind::OpaqueExternal(class));
            }
            ("aborted-inside", Err(error)) => {
                let why = "java.io.NotSerializableException: on purpose".to_owned();
                assert_eq!(error.kind, ReadErrorKind::WriterFailed(why));
            }
            (_, Err(error)) => panic!("{name}: {error}"),
            (_, Ok(graph)) => {
                assert!(graph.to_bytes() == *bytes, "{name}: other bytes");
                kept += 1;
            }
        }
    }
    assert!(kept > 300, "the corpus has only {kept} streams");
    texts_and_numbers(&corpus);
    arrays(&corpus);
    objects(&corpus);
    collections(&corpus);
    streams(&corpus);
}

/// The files of a folder by name, without their extension.
fn read_folder(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    };
    entries.map(read).collect()
}

fn texts_and_numbers(corpus: &Corpus) {
    corpus.reads("null", &None::<String>);
    corpus.reads("text-plain", &"plain".to_owned());
    corpus.reads("text-nul", &"a\0b".to_owned());
    corpus.reads("text-surrogates", &"😀 pair".to_owned());
    corpus.reads("text-unpaired", &"\u{FFFD}\u{FFFD}".to_owned());
    corpus.reads("text-65535", &"x".repeat(65_535));
    corpus.reads("text-65536", &"y".repeat(65_536));
    corpus.reads("text-long", &"€\0".repeat(50_000));
    corpus.reads("boxed-Boolean", &true);
    corpus.reads("boxed-Short", &2_i16);
    corpus.reads("boxed-Integer", &3);
    corpus.reads("boxed-Long", &4_i64);
    corpus.reads("boxed-Float", &5.5_f32);
    corpus.reads("boxed-Double", &6.25_f64);
}

java_object_stream::from_java! {
    #[derive(Debug, PartialEq)]
    struct Primitives {
        z: bool = "z",
        s: i16 = "s",
        i: i32 = "i",
        j: i64 = "j",
        f: f32 = "f",
        d: f64 = "d",
        text: Option<String> = "text",
    }

    #[derive(Debug, PartialEq)]
    struct Arrays<'g> {
        z: Vec<bool> = "z",
        b: &'g [u8] = "b",
        s: Vec<i16> = "s",
        i: Vec<i32> = "i",
        j: Vec<i64> = "j",
        f: Vec<f32> = "f",
        d: Vec<f64> = "d",
        texts: Vec<Option<String>> = "texts",
        nested: Vec<Option<Vec<i32>>> = "nested",
    }
}

fn arrays(corpus: &Corpus) {
    corpus.reads(
        "primitives-largest",
        &Primitives {
            z: true,
            s: i16::MAX,
            i: i32::MAX,
            j: i64::MAX,
            f: f32::MAX,
            d: f64::MAX,
            text: Some("largest".to_owned()),
        },
    );
    corpus.with("primitives-nan", |graph| {
        let value: Primitives = graph.root().unwrap().read().unwrap();
        assert!(value.f.is_nan() && value.d.is_nan());
        assert_eq!(value.text, None);
    });
    corpus.with("arrays", |graph| {
        let root = graph.root().unwrap();
        let arrays: Arrays<'_> = root.read().unwrap();
        assert!(arrays.f[0].is_nan());
        let expected = Arrays {
            z: vec![true, false],
            b: &[0x80, 0, 127],
            s: vec![-1, 300],
            i: vec![i32::MIN, 7],
            j: vec![i64::MAX],
            f: arrays.f.clone(),
            d: vec![f64::NEG_INFINITY, 0.1],
            texts: vec![Some("one".to_owned()), None, Some("one".to_owned())],
            nested: vec![Some(vec![1]), Some(vec![]), None, Some(vec![2, 3])],
        };
        assert_eq!(format!("{arrays:?}"), format!("{expected:?}"));
        let mixed = root.field("mixed").unwrap().elements().unwrap();
        assert_eq!(mixed[0].id(), root.id(), "the array holds its own holder");
        assert_eq!(mixed[2].enum_constant().as_deref(), Some("ONE"));
        assert_eq!(root.field("c").unwrap().elements().unwrap().len(), 3);
    });
}

fn objects(corpus: &Corpus) {
    corpus.with("enums", |graph| {
        let items = graph.root().unwrap().elements().unwrap();
        let names: Vec<_> = items.iter().map(|item| item.enum_constant().unwrap()).collect();
        assert_eq!(names, ["ONE", "TWO", "ONE", "ADD", "SUBTRACT", "DAYS"]);
        assert_eq!(items[0].id(), items[2].id());
        assert!(items[3].is_a("oracle.Shapes$WithBodies") && items[3].is_a("java.lang.Enum"));
    });
    corpus.with("record", |graph| {
        let inner = graph.root().unwrap().field("more").unwrap();
        assert_eq!(inner.read_field::<i32>("right"), Ok(3));
    });
    corpus.with("proxy", |graph| {
        let proxy = graph.root().unwrap();
        assert_eq!(proxy.proxy_interfaces().unwrap(), ["oracle.Shapes$Speaker"]);
        let handler = proxy.instance().unwrap().levels[0].fields.as_ref().unwrap()[0];
        assert_eq!(proxy.at(handler).read_field::<String>("prefix").unwrap(), "echo ");
    });
    corpus.with("external", |graph| {
        let first = graph.root().unwrap().elements().unwrap()[0];
        let (block, values) = first.extra("oracle.Shapes$External").unwrap();
        assert_eq!(block, [&[0, 0, 0, 2, 0, 5][..], b"first"].concat());
        assert_eq!(values[1].read::<Vec<i32>>(), Ok(vec![1, 2]));
    });
    corpus.with("both", |graph| {
        let both = graph.root().unwrap();
        assert_eq!(both.read_field::<i32>("count"), Ok(4));
        let (block, values) = both.extra("oracle.Shapes$Both").unwrap();
        assert_eq!(block.len(), 4 + 3000);
        assert_eq!(values[0].id(), both.field("label").unwrap().id());
    });
    for name in ["reference", "primitive"] {
        corpus.with(&format!("own-{name}"), |graph| {
            let own = graph.root().unwrap();
            assert!(matches!(own.field("label"), Err(AccessError::NoField { .. })), "{name}");
            let own_data = own.instance().unwrap().levels[0].extra.as_ref().unwrap();
            assert!(!own_data.is_empty(), "{name}");
        });
    }
    corpus.with("put-fields", |graph| {
        let names = graph.root().unwrap().read_field::<Vec<String>>("names");
        assert_eq!(names.unwrap(), ["a", "b"]);
    });
    corpus.with("inheritance", |graph| {
        let leaf = graph.root().unwrap();
        assert_eq!(leaf.read_field::<String>("shadowed").unwrap(), "leaf");
        assert_eq!(leaf.read_field::<i32>("rootField"), Ok(1));
        assert_eq!(leaf.field("self").unwrap().id(), leaf.id());
        assert_eq!(leaf.extra("oracle.Shapes$Middle").unwrap().1.len(), 1);
        assert_eq!(leaf.fields().len(), 4);
    });
    corpus.with("gap", |graph| {
        let object = graph.root().unwrap();
        assert_eq!(object.read_field::<i32>("kept"), Ok(6));
        assert!(object.field("lost").is_err() && !object.is_a("oracle.Shapes$Gap"));
    });
    corpus.with("class-objects", |graph| {
        let classes = graph.root().unwrap().elements().unwrap();
        let named = |at: usize| classes[at].class_desc().unwrap().name.to_string();
        assert_eq!((named(0), named(2)), ("int".to_owned(), "[I".to_owned()));
        assert!(matches!(classes[1].stored(), Some(Stored::Class(_))));
    });
    corpus.with("throwable", |graph| {
        let thrown = graph.root().unwrap();
        assert_eq!(thrown.read_field::<String>("detailMessage").unwrap(), "outer");
        let cause = thrown.field("cause").unwrap();
        assert_eq!(cause.class_name().unwrap(), "java.io.FileNotFoundException");
        assert_eq!(cause.field("cause").unwrap().id(), cause.id(), "no cause is the thing itself");
        let suppressed: Vec<Node<'_>> = thrown.read_field("suppressedExceptions").unwrap();
        assert_eq!(suppressed[0].read_field::<String>("file").unwrap(), "/a");
        assert!(suppressed[1].is_a("java.lang.Error"));
    });
}

fn collections(corpus: &Corpus) {
    let text = |text: &str| text.to_owned();
    let mut seen = [0; 2];
    for name in corpus.streams.keys() {
        if let Some(rest) = name.strip_prefix("list-") {
            let Some((size, _)) = rest.split_once('-') else { continue };
            let mut read: Vec<String> =
                corpus.with(name, |graph| graph.root().unwrap().read().expect(name));
            read.sort();
            let expected: &[&str] = match size {
                "abc" => &["a", "b", "c"],
                "one" => &["a"],
                _ => &[],
            };
            assert_eq!(read, expected, "{name}");
            seen[0] += 1;
        }
        if let Some(rest) = name.strip_prefix("map-") {
            let expected = match rest.split_once('-').unwrap().0 {
                "abc" => vec![(text("a"), 1), (text("b"), 2), (text("c"), 3)],
                "one" => vec![(text("a"), 1)],
                _ => vec![],
            };
            corpus.reads(name, &BTreeMap::<String, i64>::from_iter(expected));
            seen[1] += 1;
        }
    }
    assert!(seen[0] > 30 && seen[1] > 15, "lists and maps seen: {seen:?}");
    corpus.reads("list-nulls", &vec![None, Some(text("x")), None]);
    corpus.with("enum-set", |graph| {
        let items = graph.root().unwrap().elements().unwrap();
        assert_eq!(items[0].enum_constant().unwrap(), "ONE");
    });
    corpus.with("enum-map", |graph| {
        let entries = graph.root().unwrap().entries().unwrap();
        assert_eq!(entries[1].0.enum_constant().unwrap(), "TWO");
        assert_eq!(entries[1].1.as_str().unwrap(), "second");
    });
}

fn streams(corpus: &Corpus) {
    corpus.with("empty", |graph| {
        assert!(graph.is_empty() && graph.contents().is_empty());
        assert_eq!(graph.root().map(|_| ()), Err(AccessError::Empty));
    });
    for length in [0, 1, 254, 255, 256, 257, 1023, 1024, 1025, 2000] {
        corpus.with(&format!("block-{length}"), |graph| {
            let lengths = graph.contents().iter().map(|content| match content {
                Content::Block(bytes) => bytes.len(),
                other => panic!("{other:?}"),
            });
            assert_eq!(lengths.sum::<usize>(), length);
        });
    }
    corpus.with("reset", |graph| {
        let resets = graph.contents().iter().filter(|content| **content == Content::Reset);
        assert_eq!(resets.count(), 3);
        let lists: Vec<_> = graph.roots().map(Node::id).collect();
        assert_eq!(lists[0], lists[1]);
        assert!(lists[2] != lists[0] && lists[3] != lists[2]);
    });
    corpus.with("shared", |graph| {
        let root = graph.root().unwrap();
        let items = root.elements().unwrap();
        assert_eq!(items[0].id(), root.id());
        assert_eq!(items[1].id(), items[2].id());
    });
    corpus.with("aborted-before", |graph| {
        let values: Vec<_> = graph.roots().map(|node| node.as_str().unwrap()).collect();
        assert_eq!(values, ["before", "after"]);
        assert!(matches!(graph.contents()[1], Content::Exception(_)));
    });
    corpus.with("annotated", |graph| {
        let items = graph.root().unwrap().elements().unwrap();
        let annotation = &items[0].class_desc().unwrap().annotation;
        assert!(matches!(&annotation[..], [Content::Block(name), Content::Value(_)]
            if name.ends_with(b"oracle.Shapes$Leaf")));
    });
}
