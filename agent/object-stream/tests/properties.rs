//! Random values: what is encoded can be read, holds the same values, and is written back the same.

use java_object_stream::{
    Class, Datum, Field, Graph, Items, Node, Object, Plain, ReadOptions, Stored, encode, jdk,
};
use proptest::prelude::*;

static PAIR: Class = Class::new("demo.Pair", 1).fields(&[
    Field::bool("flag"),
    Field::long("number"),
    Field::reference("left", "Ljava/lang/Object;"),
    Field::reference("right", "Ljava/lang/Object;"),
]);
static WRITER: Class = Class::new("demo.Writer", 2).with_write_method().extends(&PAIR);
static COLOUR: Class = Class::enumeration("demo.Colour");

fn leaf() -> impl Strategy<Value = Datum> {
    prop_oneof![
        Just(Datum::Null),
        any::<String>().prop_map(Datum::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Datum::Bytes),
        prop::collection::vec(any::<u16>(), 0..9).prop_map(Datum::Chars),
        prop::collection::vec(any::<i32>(), 0..9).prop_map(Datum::Ints),
        prop::collection::vec(any::<i64>(), 0..9).prop_map(Datum::Longs),
        any::<i32>().prop_map(jdk::integer),
        any::<i64>().prop_map(jdk::long),
        any::<bool>().prop_map(jdk::boolean),
        Just(Datum::Enum(&COLOUR, "RED")),
        Just(Datum::Class(&WRITER)),
    ]
}

fn datum() -> impl Strategy<Value = Datum> {
    leaf().prop_recursive(6, 64, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6);
        let pair = (inner.clone(), inner.clone(), any::<bool>(), any::<i64>());
        let block = prop::collection::vec(any::<u8>(), 0..600);
        prop_oneof![
            list.clone().prop_map(|items| Datum::Array(&jdk::OBJECT_ARRAY, items)),
            list.prop_map(jdk::array_list),
            pair.prop_map(|(left, right, flag, number)| fill(&PAIR, left, right, flag, number)),
            (inner.clone(), inner, block).prop_map(|(left, own, block)| {
                let object = Object::new(&WRITER).with("left", left).block(&WRITER, block);
                object.value(&WRITER, own).into()
            }),
        ]
    })
}

fn fill(class: &'static Class, left: Datum, right: Datum, flag: bool, number: i64) -> Datum {
    let object = Object::new(class).with("left", left).with("right", right);
    object.with("flag", flag).with("number", number).into()
}

/// Whether a node holds what was encoded; of objects only the class, their fields have a test of their own.
fn holds(node: Node<'_>, datum: &Datum) -> bool {
    let is = |wanted: &Items<'_>| matches!(node.stored(), Some(Stored::Array(array)) if array.items == *wanted);
    match datum {
        Datum::Null => node.is_null(),
        Datum::String(text) => node.as_str().is_some_and(|read| read == *text),
        Datum::Bytes(bytes) => node.as_bytes() == Some(bytes),
        Datum::Chars(units) => is(&Items::Chars(units.clone())),
        Datum::Ints(ints) => is(&Items::Ints(ints.clone())),
        Datum::Longs(longs) => is(&Items::Longs(longs.clone())),
        Datum::Enum(_, constant) => node.enum_constant().is_some_and(|read| read == *constant),
        Datum::Class(class) => node.class_desc().is_some_and(|desc| desc.name.is(class.name())),
        Datum::Array(_, wanted) => {
            let Ok(read) = node.elements() else { return false };
            read.len() == wanted.len() && read.iter().zip(wanted).all(|(a, b)| holds(*a, b))
        }
        Datum::Object(object) => node.is_a(object.class().name()),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_is_encoded_comes_back(value in datum()) {
        let bytes = encode(&value, &mut Plain).unwrap();
        let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
        prop_assert_eq!(graph.roots().count(), 1);
        prop_assert!(holds(graph.root().unwrap(), &value));
        prop_assert_eq!(graph.to_bytes(), bytes);
    }

    #[test]
    fn fields_come_back(left in leaf(), right in leaf(), flag in any::<bool>(), number: i64) {
        let value = fill(&PAIR, left.clone(), right.clone(), flag, number);
        let bytes = encode(&value, &mut Plain).unwrap();
        let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
        let pair = graph.root().unwrap();
        prop_assert_eq!(pair.read_field::<bool>("flag"), Ok(flag));
        prop_assert_eq!(pair.read_field::<i64>("number"), Ok(number));
        prop_assert!(holds(pair.field("left").unwrap(), &left));
        prop_assert!(holds(pair.field("right").unwrap(), &right));
    }

    #[test]
    fn lists_and_maps_come_back(entries in prop::collection::btree_map(any::<String>(), any::<i64>(), 0..40)) {
        let pairs = entries.iter().map(|(key, value)| (key.clone().into(), jdk::long(*value)));
        let map = jdk::hash_map(pairs.collect());
        let keys = jdk::hash_set(entries.keys().map(|key| key.clone().into()).collect());
        let bytes = encode(&Datum::Array(&jdk::OBJECT_ARRAY, vec![map, keys]), &mut Plain).unwrap();
        let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
        let items = graph.root().unwrap().elements().unwrap();
        prop_assert_eq!(items[1].read::<Vec<String>>().unwrap(), entries.keys().cloned().collect::<Vec<_>>());
        prop_assert_eq!(items[0].read(), Ok(entries));
    }
}
