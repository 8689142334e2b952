//! Damaged streams: each is read or refused, none panics, and what is read can be written.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails the test")]

use java_object_stream::{
    Class, Datum, Field, FromJava, Graph, Object, Plain, ReadErrorKind, ReadOptions, encode, jdk,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

static COLOUR: Class = Class::enumeration("demo.Colour");
static SAMPLE: Class = Class::new("demo.Sample", 42)
    .fields(&[
        Field::bool("a"),
        Field::byte("b"),
        Field::char("c"),
        Field::double("d"),
        Field::float("e"),
        Field::int("f"),
        Field::long("g"),
        Field::short("h"),
        Field::reference("list", "Ljava/util/List;"),
        Field::reference("other", "Ljava/lang/Object;"),
        Field::string("text"),
    ])
    .with_write_method();

/// A stream with every type code that an encoder of ours writes.
fn sample() -> Vec<u8> {
    let other = Datum::Array(
        &jdk::OBJECT_ARRAY,
        vec![
            Datum::Enum(&COLOUR, "RED"),
            Datum::Class(&SAMPLE),
            Datum::Proxy(&["demo.Listener"], Box::new(Object::new(&jdk::INTEGER).with("value", 1))),
            jdk::throwable(&jdk::IO_EXCEPTION, "gone").into(),
            Datum::Bytes(vec![1, 2, 3]),
            Datum::Ints(vec![-1]),
            Datum::Null,
        ],
    );
    let map = jdk::hash_map(vec![("key".into(), jdk::long(5)), ("more".into(), Datum::Null)]);
    let object = Object::new(&SAMPLE)
        .with("a", true)
        .with("c", Datum::Char(0xD83D))
        .with("d", 0.5)
        .with("f", 7)
        .with("list", jdk::array_list(vec!["one".into(), "zwei €".into()]))
        .with("other", other)
        .with("text", "a\0b")
        .block(&SAMPLE, vec![9; 300])
        .value(&SAMPLE, map);
    encode(&object.into(), &mut Plain).unwrap()
}

/// Reads every node in every way there is. The answers do not matter, only that there are some.
fn read_all(graph: &Graph<'_>) {
    fn read<'g, T: FromJava<'g>>(node: java_object_stream::Node<'g>) -> bool {
        node.read::<T>().is_ok()
    }
    for node in graph.objects().chain(graph.roots()) {
        let _ = (node.describe(), node.class_name(), node.proxy_interfaces(), node.enum_constant());
        let _ = (node.hierarchy().count(), node.field("value").is_ok(), node.entries().is_ok());
        let _ = node.read_field::<i32>("size").map_err(|error| error.to_string());
        let _ = node.extra("java.util.HashMap").is_ok();
        read::<bool>(node);
        read::<i32>(node);
        read::<i64>(node);
        read::<Option<String>>(node);
        read::<&[u8]>(node);
        read::<Vec<String>>(node);
        read::<BTreeMap<String, i64>>(node);
        for (_, field) in node.fields() {
            let _ = (field.describe(), field.elements().is_ok());
        }
    }
}

/// What was read must be stable: written and read again it is the same, and typed access to any of
/// it gives a value or an error.
fn check(bytes: &[u8]) -> Result<(), ReadErrorKind> {
    round_trip(bytes).map(|graph| read_all(&graph))
}

fn round_trip(bytes: &[u8]) -> Result<Graph<'_>, ReadErrorKind> {
    let options = ReadOptions::default();
    let graph = Graph::parse(bytes, &options).map_err(|error| {
        assert!(error.offset <= bytes.len(), "{error}");
        assert!(!error.to_string().is_empty());
        error.kind
    })?;
    let written = graph.to_bytes();
    let again = Graph::parse(&written, &options).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
    Ok(graph)
}

#[test]
fn the_sample_itself_is_sound() {
    let bytes = sample();
    assert_eq!(check(&bytes), Ok(()));
    assert_eq!(Graph::parse(&bytes, &ReadOptions::default()).unwrap().to_bytes(), bytes);
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let bytes = sample();
    for length in 0..bytes.len() {
        let result = check(&bytes[..length]);
        match length {
            0..4 => assert!(matches!(result, Err(ReadErrorKind::NotAStream { .. })), "{length}"),
            4 => assert_eq!(result, Ok(()), "a header alone is an empty stream"),
            _ => assert!(
                matches!(result, Err(ReadErrorKind::Truncated { .. })),
                "cut at {length}: {result:?}"
            ),
        }
    }
}

#[test]
fn each_bit_flipped_and_each_type_code_in_each_place() {
    let bytes = sample();
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        let flips = (0..8).map(|bit| bytes[at] ^ (1 << bit));
        for byte in flips.chain(0x70..=0x7F).chain([0, 0xFF]) {
            changed[at] = byte;
            refused += usize::from(round_trip(&changed).is_err());
        }
        changed[at] = !bytes[at];
        let _ = check(&changed);
    }
    assert!(refused > bytes.len(), "only {refused} of {} bytes refused", bytes.len());
}

#[test]
fn bytes_after_the_value_are_read_as_further_values() {
    let mut bytes = sample();
    bytes.extend([0x70, 0x77, 1, 0xAA]);
    let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
    assert_eq!(graph.contents().len(), 3);
    bytes.push(0x78);
    assert!(matches!(check(&bytes), Err(ReadErrorKind::UnexpectedTag { got: 0x78, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_after_a_header(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&[&[0xAC, 0xED, 0, 5][..], &tail].concat());
    }

    #[test]
    fn type_codes_in_any_order(tail in prop::collection::vec(
        prop_oneof![3 => 0x70_u8..=0x7E, 1 => Just(0_u8), 1 => Just(1_u8)], 0..120
    )) {
        let _ = check(&[&[0xAC, 0xED, 0, 5][..], &tail].concat());
    }

    #[test]
    fn a_sample_with_pieces_moved(
        from in any::<prop::sample::Index>(),
        length in 0_usize..60,
        to in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        let from = from.index(bytes.len());
        let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
        let to = to.index(bytes.len());
        bytes.splice(to..to, piece);
        let _ = check(&bytes);
    }
}
