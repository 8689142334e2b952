//! Hostile input: a typed error each, with bounded stack, time and memory.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails the test")]

use std::fmt::Debug;

use java_object_stream::{
    Class, Datum, EncodeError, Field, Graph, Limits, Object, Plain, ReadError, ReadErrorKind,
    ReadOptions, encode, jdk,
};

/// As small as a thread of an agent may be; a JVM's default is 1 MiB.
const SMALL_STACK: usize = 512 * 1024;

const HEADER: [u8; 4] = [0xAC, 0xED, 0, 5];
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS_DESC: u8 = 0x72;
const OBJECT: u8 = 0x73;
const ARRAY: u8 = 0x75;
const CLASS: u8 = 0x76;
const END: u8 = 0x78;
const EXCEPTION: u8 = 0x7B;
const LONG_STRING: u8 = 0x7C;
const PROXY_DESC: u8 = 0x7D;
const ENUM: u8 = 0x7E;

const SERIALIZABLE: u8 = 2;
const WRITES_ITSELF: u8 = 3;

/// Runs on a thread with a small stack; an overflow would abort the whole test program.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(work).unwrap();
    thread.join().unwrap()
}

fn parse(bytes: &[u8]) -> Result<Vec<u8>, ReadError> {
    Graph::parse(bytes, &ReadOptions::default()).map(|graph| graph.to_bytes())
}

fn kind(bytes: &[u8]) -> ReadErrorKind {
    parse(bytes).expect_err("hostile input must be refused").kind
}

#[track_caller]
fn refused_as_too_much(kind: impl Debug, what: &str) {
    let text = format!("{kind:?}");
    assert!(text.starts_with("TooMuch") && text.contains(what), "{text}");
}

fn short(text: &str) -> Vec<u8> {
    let mut out = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// A descriptor up to its annotation's end; the superclass must follow.
fn open_desc(name: &str, flags: u8, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut out = vec![CLASS_DESC];
    out.extend(short(name));
    out.extend([0; 8]);
    out.push(flags);
    out.extend(u16::try_from(fields.len()).unwrap().to_be_bytes());
    for (code, name) in fields {
        out.push(*code);
        out.extend(short(name));
        if *code == b'L' {
            out.extend([0x74, 0, 1, b'L']);
        }
    }
    out.push(END);
    out
}

fn desc(name: &str, flags: u8, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut out = open_desc(name, flags, fields);
    out.push(NULL);
    out
}

fn handle(index: u32) -> Vec<u8> {
    let mut out = vec![REFERENCE];
    out.extend((0x7E_0000 + index).to_be_bytes());
    out
}

/// `HEADER`, then `first`, then `again` over and over up to `times`.
fn repeated(first: &[u8], again: &[u8], times: usize) -> Vec<u8> {
    [HEADER.to_vec(), first.to_vec(), again.repeat(times)].concat()
}

/// One stream for each way in which the grammar nests, each `times` deep.
fn nests(times: usize) -> Vec<(&'static str, Vec<u8>)> {
    let holder = [vec![OBJECT], desc("A", SERIALIZABLE, &[(b'L', "f")])].concat();
    let object = [vec![OBJECT], handle(0)].concat();
    let writer = [vec![OBJECT], desc("A", WRITES_ITSELF, &[])].concat();
    let one_array = [vec![ARRAY], desc("[LA;", SERIALIZABLE, &[]), vec![0, 0, 0, 1]].concat();
    let array = [vec![ARRAY], handle(0), vec![0, 0, 0, 1]].concat();
    let superclass = open_desc("A", SERIALIZABLE, &[]);
    let field_type = [&desc("A", SERIALIZABLE, &[])[..13], &[0, 1, b'L', 0, 0]].concat();
    vec![
        ("objects", repeated(&holder, &object, times)),
        ("own data", repeated(&writer, &object, times)),
        ("arrays", repeated(&one_array, &array, times)),
        ("superclasses", repeated(&[OBJECT], &superclass, times)),
        ("superclasses of a class", repeated(&[CLASS], &superclass, times)),
        ("superclasses of an enum", repeated(&[ENUM], &superclass, times)),
        ("annotations", repeated(&[], &superclass[..superclass.len() - 1], times)),
        ("proxy annotations", repeated(&[], &[PROXY_DESC, 0, 0, 0, 0], times)),
        // Two levels each.
        ("objects of proxies", repeated(&[], &[OBJECT, PROXY_DESC, 0, 0, 0, 0], times / 2)),
        ("field types", repeated(&[], &field_type, times)),
        ("exceptions", repeated(&[], &[EXCEPTION], times)),
    ]
}

#[test]
fn a_graph_100_000_deep_is_an_error_on_a_small_stack() {
    for (what, bytes) in nests(100_000) {
        let error = on_a_small_stack(move || kind(&bytes));
        let clear = matches!(
            error,
            ReadErrorKind::TooMuch { what: "nesting depth", .. }
                | ReadErrorKind::UnexpectedTag { .. }
        );
        assert!(clear, "{what}: {error:?}");
    }
}

#[test]
fn whatever_nests_within_the_limit_fits_a_small_stack() {
    // One less than the limit: these end too early, but only after the deepest call.
    for (what, bytes) in nests(Limits::default().depth - 1) {
        let error = on_a_small_stack(move || kind(&bytes));
        let deep =
            matches!(error, ReadErrorKind::Truncated { .. } | ReadErrorKind::UnexpectedTag { .. });
        assert!(deep, "{what}: {error:?}");
    }
}

#[test]
fn the_deepest_graph_goes_both_ways_on_a_small_stack() {
    let depth = Limits::default().depth;
    for (what, mut bytes) in nests(depth - 3).into_iter().take(3) {
        match what {
            "own data" => bytes.extend(vec![END; depth - 2]),
            _ => bytes.push(NULL),
        }
        let copy = bytes.clone();
        assert_eq!(on_a_small_stack(move || parse(&copy)).as_deref(), Ok(&bytes[..]), "{what}");
    }
}

#[test]
fn values_nested_too_deep_are_not_encoded() {
    static CELL: Class =
        Class::new("demo.Cell", 1).fields(&[Field::reference("next", "Ldemo/Cell;")]);
    let nested = |depth: usize| {
        (0..depth).fold(Datum::Null, |next, _| Object::new(&CELL).with("next", next).into())
    };
    let fits = on_a_small_stack(move || encode(&nested(200), &mut Plain)).unwrap();
    assert_eq!(parse(&fits).as_deref(), Ok(&fits[..]));
    let error = on_a_small_stack(move || encode(&nested(201), &mut Plain));
    assert_eq!(error, Err(EncodeError::TooDeep(200)));
}

#[test]
fn lengths_of_4_gib_allocate_nothing() {
    let long_string = [&HEADER[..], &[LONG_STRING, 0, 0, 0, 1, 0, 0, 0, 0]].concat();
    refused_as_too_much(kind(&long_string), "string length");
    let huge_string = [&HEADER[..], &[LONG_STRING], &[0xFF; 8]].concat();
    refused_as_too_much(kind(&huge_string), "string length");
    let block = [&HEADER[..], &[0x7A], &[0xFF; 4]].concat();
    assert_eq!(kind(&block), ReadErrorKind::Truncated { expected: 0xFFFF_FFFF, available: 0 });
    let proxy = [&HEADER[..], &[PROXY_DESC], &[0xFF; 4]].concat();
    assert_eq!(kind(&proxy), ReadErrorKind::Truncated { expected: 2, available: 0 });
    for element in ["[B", "[Z", "[C", "[S", "[I", "[J", "[F", "[D", "[LA;", "[[B"] {
        for length in [u32::MAX, 0x7FFF_FFFF, 64 << 20] {
            let array = [
                HEADER.to_vec(),
                vec![ARRAY],
                desc(element, SERIALIZABLE, &[]),
                length.to_be_bytes().to_vec(),
            ];
            let error = kind(&array.concat());
            assert!(
                matches!(
                    error,
                    ReadErrorKind::Truncated { .. }
                        | ReadErrorKind::TooMuch { what: "array length", .. }
                ),
                "{element} of {length}: {error:?}"
            );
        }
    }
}

#[test]
fn nested_arrays_that_claim_much_allocate_little() {
    // Each claims as many elements as the stream has bytes left.
    let again = [vec![ARRAY], handle(0), vec![3, 0, 0, 0]].concat();
    let first = [vec![ARRAY], desc("[LA;", SERIALIZABLE, &[]), vec![3, 0, 0, 0]].concat();
    let mut bytes = repeated(&first, &again, 250);
    bytes.resize(bytes.len() + (16 << 20), NULL);
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let error = Graph::parse(&bytes, &ReadOptions { limits, ..ReadOptions::default() });
    refused_as_too_much(error.unwrap_err().kind, "memory");
}

#[test]
fn cyclic_descriptors_are_refused() {
    // A class that is its own superclass.
    let own_parent = [HEADER.to_vec(), vec![OBJECT], open_desc("A", SERIALIZABLE, &[]), handle(0)];
    let expected = "a class descriptor";
    let own = ReadErrorKind::BadHandle { handle: 0x7E_0000, expected };
    assert_eq!(kind(&own_parent.concat()), own);
    // Two that are each other's.
    let each_other = [
        HEADER.to_vec(),
        vec![OBJECT],
        open_desc("A", SERIALIZABLE, &[]),
        open_desc("B", SERIALIZABLE, &[]),
        handle(0),
    ];
    assert_eq!(kind(&each_other.concat()), own);
    // An instance of a class inside that class's own annotation.
    let mut inside = open_desc("A", SERIALIZABLE, &[]);
    inside.pop();
    inside.push(OBJECT);
    inside.extend(handle(0));
    assert_eq!(kind(&[HEADER.to_vec(), inside].concat()), own);
    // An array whose class is the array itself, and one whose class is a string.
    let array = [HEADER.to_vec(), vec![0x74, 0, 0, ARRAY], handle(0)];
    assert_eq!(kind(&array.concat()), own);
    let array = [HEADER.to_vec(), vec![ARRAY], handle(0)];
    assert_eq!(kind(&array.concat()), own);
}

#[test]
fn a_class_with_many_superclasses_cannot_multiply_memory() {
    // Chains made of references are not nested, yet each instance has a level for each class.
    let limit = Limits::default().depth;
    let mut bytes = HEADER.to_vec();
    bytes.extend(desc("A", SERIALIZABLE, &[]));
    for parent in 0..u32::try_from(limit).unwrap() - 1 {
        bytes.extend(open_desc("A", SERIALIZABLE, &[]));
        bytes.extend(handle(parent));
    }
    let deepest = u32::try_from(limit).unwrap() - 1;
    let instance = [vec![OBJECT], handle(deepest)].concat();
    let one = [bytes.clone(), instance.clone()].concat();
    assert_eq!(parse(&one).as_deref(), Ok(&one[..]));
    let many = [bytes.clone(), instance.repeat(100_000)].concat();
    refused_as_too_much(kind(&many), "memory");
    let mut longer = bytes;
    longer.extend(open_desc("A", SERIALIZABLE, &[]));
    longer.extend(handle(deepest));
    longer.push(OBJECT);
    longer.extend(handle(deepest + 1));
    refused_as_too_much(kind(&longer), "superclasses");
}

#[test]
fn huge_descriptors_are_not_copied_for_each_instance() {
    // With a copy of the field list for each instance, and of the name for each array, these two
    // megabytes would ask for 13 GB of copying.
    let mut fields = vec![(b'L', "")];
    fields.resize(65_535, (b'B', ""));
    let mut bytes = HEADER.to_vec();
    bytes.extend(desc("A", WRITES_ITSELF, &fields));
    let name = "x".repeat(65_000);
    bytes.extend(desc(&format!("[L{name};"), SERIALIZABLE, &[]));
    let instance = [vec![OBJECT], handle(0), vec![END]].concat();
    let array = [vec![ARRAY], handle(2), vec![0; 4]].concat();
    bytes.extend(instance.repeat(100_000));
    bytes.extend(array.repeat(100_000));
    assert_eq!(parse(&bytes).as_deref(), Ok(&bytes[..]));
}

#[test]
fn memory_stays_within_its_limit_whatever_is_repeated() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    let own_data = [vec![OBJECT], desc("A", WRITES_ITSELF, &[])].concat();
    let array = [vec![ARRAY], desc("[LA;", SERIALIZABLE, &[]), vec![0, 0x10, 0, 0]].concat();
    let longs = [vec![ARRAY], desc("[J", SERIALIZABLE, &[]), vec![0, 2, 0, 0]].concat();
    let class = [HEADER.to_vec(), open_desc("A", SERIALIZABLE, &[])[..13].to_vec()].concat();
    let fields = [class, vec![0xFF, 0xFF], [b'I', 0, 0].repeat(65_535)].concat();
    for (what, bytes) in [
        ("nulls", repeated(&[], &[NULL], 1 << 17)),
        ("empty blocks", repeated(&[], &[0x77, 0], 1 << 17)),
        ("strings", repeated(&[], &[0x74, 0, 0], 1 << 17)),
        ("own data", repeated(&own_data, &[NULL], 1 << 17)),
        ("array of nulls", repeated(&array, &[NULL], 1 << 20)),
        ("array of longs", repeated(&longs, &[0; 8], 1 << 17)),
        ("interfaces", repeated(&[PROXY_DESC, 0, 2, 0, 0], &[0, 0], 1 << 17)),
        ("fields", fields),
    ] {
        let read = Graph::parse(&bytes, &options).map(|graph| graph.len());
        let error = read.expect_err(what);
        refused_as_too_much(&error.kind, "memory");
        assert!(error.offset <= bytes.len(), "{what}");
    }
}

#[test]
fn every_bound_is_checked() {
    let options = |limits| ReadOptions { limits, ..ReadOptions::default() };
    let bytes = encode(&jdk::array_list(vec!["one".into(), "two".into()]), &mut Plain).unwrap();
    let base = Limits::default();
    for (limits, what) in [
        (Limits { depth: 0, ..base }, "nesting depth"),
        (Limits { objects: 3, ..base }, "number of objects"),
        (Limits { string_bytes: 2, ..base }, "string length"),
        (Limits { stream_bytes: bytes.len() - 1, ..base }, "stream length"),
        (Limits { memory_bytes: 100, ..base }, "memory"),
    ] {
        let error = Graph::parse(&bytes, &options(limits)).map(|_| ()).unwrap_err();
        refused_as_too_much(error.kind, what);
    }
    let bytes = encode(&Datum::Bytes(vec![0; 9]), &mut Plain).unwrap();
    let error = Graph::parse(&bytes, &options(Limits { array_elements: 8, ..base })).map(|_| ());
    refused_as_too_much(error.unwrap_err().kind, "array length");
}
