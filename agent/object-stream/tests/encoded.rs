//! What we encode, `ObjectInputStream` reads as equal objects (`tests/oracle/ReadBack.java`).
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod support;

use java_object_stream::{
    Annotate, Class, Datum, Field, Graph, Object, Plain, ReadOptions, encode, jdk,
};
use support::Jdk;

static PRIMITIVES: Class = Class::new("oracle.Shapes$Primitives", 11).fields(&[
    Field::byte("b"),
    Field::char("c"),
    Field::double("d"),
    Field::float("f"),
    Field::int("i"),
    Field::long("j"),
    Field::short("s"),
    Field::bool("z"),
    Field::string("text"),
]);
static PLAIN: Class = Class::enumeration("oracle.Shapes$Plain");
static WITH_BODIES: Class = Class::enumeration("oracle.Shapes$WithBodies");
static PAIR: Class = Class::new("oracle.Shapes$Pair", 0).fields(&[
    Field::int("right"),
    Field::string("left"),
    Field::reference("more", "Ljava/lang/Object;"),
]);
static ECHO: Class = Class::new("oracle.Shapes$Echo", 12).fields(&[Field::string("prefix")]);
static SIZED: Class =
    Class::new("oracle.Shapes$Sized", 26).fields(&[Field::int("size")]).with_write_method();
static OWN_PRIMITIVE: Class = Class::new("oracle.Shapes$OwnPrimitive", 16)
    .fields(&[Field::int("count"), Field::string("label")])
    .with_write_method_only();
static ROOT: Class = Class::new("oracle.Shapes$Root", 18)
    .fields(&[Field::int("rootField"), Field::string("shadowed")]);
static MIDDLE: Class = Class::new("oracle.Shapes$Middle", 19).with_write_method().extends(&ROOT);
static LEAF: Class = Class::new("oracle.Shapes$Leaf", 20)
    .fields(&[Field::reference("self", "Ljava/lang/Object;"), Field::string("shadowed")])
    .extends(&MIDDLE);

/// Annotates the classes of the oracle, not those of the JDK.
struct Names(Vec<String>);

impl Annotate for Names {
    fn annotate(&mut self, class: &str, block: &mut Vec<u8>) {
        if class.starts_with("oracle.") {
            block.extend(u16::try_from(class.len()).unwrap().to_be_bytes());
            block.extend(class.as_bytes());
            self.0.push(class.to_owned());
        }
    }
}

fn speaker(interfaces: &'static [&'static str], prefix: &'static str) -> Datum {
    Datum::Proxy(interfaces, Box::new(Object::new(&ECHO).with("prefix", prefix)))
}

fn list(items: Vec<Datum>) -> Datum {
    Datum::Array(&jdk::OBJECT_ARRAY, items)
}

fn pair(left: &'static str, right: i32, more: Datum) -> Datum {
    Object::new(&PAIR).with("left", left).with("right", right).with("more", more).into()
}

#[test]
fn the_jdk_reads_equal_objects() {
    let jdk = Jdk::compiled();
    let folder = tempfile::tempdir().unwrap();
    let mut streams = values();
    streams.extend(objects());
    streams.extend(collections());
    streams.extend(throwables());
    for (name, value) in streams {
        let bytes = encode(&value, &mut Plain).unwrap_or_else(|error| panic!("{name}: {error}"));
        write(folder.path(), &name, &bytes);
    }
    let mut names = Names(Vec::new());
    let leaf = Object::new(&LEAF);
    let one = || speaker(&["oracle.Shapes$Speaker"], "a");
    let items = list(vec![leaf.into(), one(), one()]);
    let bytes = encode(&items, &mut names).unwrap();
    assert_eq!(names.0.len(), 5, "once for each descriptor: {:?}", names.0);
    write(folder.path(), "annotated", &bytes);
    jdk.run("oracle.ReadBack", folder.path());
}

fn write(folder: &std::path::Path, name: &str, bytes: &[u8]) {
    // Our own reader must agree, before the JDK is asked.
    let options = ReadOptions {
        without_default_fields: &["oracle.Shapes$OwnPrimitive"],
        ..ReadOptions::default()
    };
    let graph = Graph::parse(bytes, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(graph.to_bytes() == bytes, "{name}: other bytes");
    std::fs::write(folder.join(format!("{name}.ser")), bytes).unwrap();
}

fn values() -> Vec<(String, Datum)> {
    let one = || Datum::from("one");
    let inner = list(vec![Datum::Ints(vec![1])]);
    named([
        ("null", Datum::Null),
        ("text", "text".into()),
        ("text-odd", "a\0é€😀".into()),
        ("text-65535", "x".repeat(65_535).into()),
        ("text-65536", "y".repeat(65_536).into()),
        ("bytes", vec![0_u8, 0xFF, 127].into()),
        ("chars", Datum::Chars(vec![0x61, 0xD800])),
        ("ints", Datum::Ints(vec![i32::MIN, 0, 9])),
        ("longs", vec![i64::MAX, -1_i64].into()),
        ("texts", Datum::Array(&jdk::STRING_ARRAY, vec![one(), Datum::Null, one()])),
        ("nested", list(vec![inner, "x".into()])),
        ("boolean", jdk::boolean(true)),
        ("integer", jdk::integer(-5)),
        ("long", jdk::long(1 << 40)),
    ])
}

fn objects() -> Vec<(String, Datum)> {
    let largest = Object::new(&PRIMITIVES)
        .with("z", true)
        .with("b", i8::MAX)
        .with("c", Datum::Char(0xFFFF))
        .with("s", i16::MAX)
        .with("i", i32::MAX)
        .with("j", i64::MAX)
        .with("f", f32::MAX)
        .with("d", f64::MAX)
        .with("text", "largest");
    let sized = Object::new(&SIZED)
        .with("size", 700)
        .block(&SIZED, vec![3; 200])
        .block(&SIZED, vec![3; 500])
        .value(&SIZED, "tail");
    let own = Object::new(&OWN_PRIMITIVE)
        .value(&OWN_PRIMITIVE, "mine")
        .block(&OWN_PRIMITIVE, 77_i64.to_be_bytes());
    // One name sets the field of each class that declares it.
    let leaf = Object::new(&LEAF).with("rootField", 8).with("shadowed", "both");
    let enums = list(vec![
        Datum::Enum(&PLAIN, "TWO"),
        Datum::Enum(&WITH_BODIES, "ADD"),
        Datum::Enum(&PLAIN, "TWO"),
    ]);
    let classes = list(vec![
        Datum::Class(&PLAIN),
        Datum::Class(&LEAF),
        Datum::Class(&LEAF),
        Datum::Class(&jdk::STRING_ARRAY),
    ]);
    let speaks = &["oracle.Shapes$Speaker"];
    let compares = &["java.lang.Comparable", "oracle.Shapes$Speaker"];
    named([
        ("primitives-largest", largest.into()),
        ("primitives-zero", Object::new(&PRIMITIVES).into()),
        ("enums", enums),
        ("classes", classes),
        ("record", pair("left", 2, pair("inner", 3, Datum::Null))),
        ("proxy", speaker(speaks, "echo ")),
        ("proxies", list(vec![speaker(speaks, "a"), speaker(speaks, "b"), speaker(compares, "c")])),
        ("sized", sized.into()),
        ("own-primitive", own.into()),
        ("inheritance", leaf.value(&MIDDLE, "between").into()),
        ("uri", Object::new(&jdk::URI).with("string", "https://example.org/a?b#c").into()),
    ])
}

fn collections() -> Vec<(String, Datum)> {
    let mut out = Vec::new();
    for size in [0, 1, 12, 13, 100, 1000] {
        let numbers = || (0..size).map(jdk::integer).collect();
        let mut keys: Vec<_> = (0..size).map(|number| (number.to_string(), number)).collect();
        keys.sort();
        let entries = || {
            let entry = |(key, value): &(String, i32)| (key.clone().into(), jdk::integer(*value));
            keys.iter().map(entry).collect()
        };
        out.push((format!("array-list-{size}"), jdk::array_list(numbers())));
        out.push((format!("hash-set-{size}"), jdk::hash_set(numbers())));
        out.push((format!("hash-map-{size}"), jdk::hash_map(entries())));
        let tree = jdk::tree_map(&jdk::TREE_MAP, None, entries());
        out.push((format!("tree-map-{size}"), tree.into()));
    }
    let comparator = Object::new(&jdk::CASE_INSENSITIVE);
    let caseless =
        jdk::tree_map(&jdk::TREE_MAP, Some(comparator), vec![("key".into(), jdk::integer(1))]);
    out.push(("tree-map-caseless".to_owned(), caseless.into()));
    out.push(("empty-list".to_owned(), Object::new(&jdk::EMPTY_LIST).into()));
    out
}

fn throwables() -> Vec<(String, Datum)> {
    let simple = [
        ("exception", &jdk::EXCEPTION),
        ("runtime", &jdk::RUNTIME_EXCEPTION),
        ("illegal-state", &jdk::ILLEGAL_STATE),
        ("interrupted", &jdk::INTERRUPTED),
        ("io", &jdk::IO_EXCEPTION),
        ("file-not-found", &jdk::FILE_NOT_FOUND),
    ];
    let thrown = |(name, class)| (format!("throwable-{name}"), jdk::throwable(class, "why").into());
    let mut out: Vec<_> = simple.map(thrown).into();
    let file = |class| jdk::throwable(class, Datum::Null).with("file", "/a");
    let inner = jdk::throwable(&jdk::IO_EXCEPTION, "inner");
    out.extend(named([
        ("throwable-no-such-file", file(&jdk::NO_SUCH_FILE).into()),
        ("throwable-access-denied", file(&jdk::ACCESS_DENIED).with("other", "/b").into()),
        ("throwable-not-empty", file(&jdk::DIRECTORY_NOT_EMPTY).into()),
        (
            "throwable-cause",
            jdk::throwable(&jdk::ILLEGAL_STATE, "outer").with("cause", inner).into(),
        ),
        (
            "throwable-suppressing",
            jdk::throwable(&jdk::IO_EXCEPTION, "outer")
                .with(
                    "suppressedExceptions",
                    jdk::array_list(vec![file(&jdk::NO_SUCH_FILE).into()]),
                )
                .into(),
        ),
    ]));
    out
}

fn named<const N: usize>(streams: [(&str, Datum); N]) -> Vec<(String, Datum)> {
    streams.map(|(name, value)| (name.to_owned(), value)).into()
}
