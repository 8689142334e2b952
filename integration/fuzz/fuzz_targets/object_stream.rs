//! Any bytes: a graph or an error; what was read is stable when written and read again; typed access
//! to any part of it gives a value or an error.
#![no_main]

use std::collections::BTreeMap;

use java_object_stream::{Graph, Limits, Node, ReadOptions};
use libfuzzer_sys::fuzz_target;

const OPTIONS: ReadOptions<'_> = ReadOptions {
    // Lower than the defaults, so that the bounds are in reach of short inputs.
    limits: Limits {
        depth: 40,
        objects: 2_000,
        string_bytes: 4_096,
        array_elements: 4_096,
        stream_bytes: 1 << 20,
        memory_bytes: 1 << 20,
    },
    without_default_fields: &["hudson.remoting.Pipe"],
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, &OPTIONS) else { return };
    let written = graph.to_bytes();
    assert!(written.len() <= bytes.len(), "writing never needs more bytes than were read");
    let again = Graph::parse(&written, &OPTIONS).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
    assert_eq!(again.len(), graph.len());
    graph.objects().chain(graph.roots()).take(200).for_each(read);
});

fn read(node: Node<'_>) {
    let _ = (node.describe(), node.class_name(), node.proxy_interfaces(), node.enum_constant());
    let _ = (node.read::<bool>(), node.read::<i32>(), node.read::<i64>(), node.read::<&[u8]>());
    let _ = (node.read::<Option<String>>(), node.read::<Vec<String>>());
    let _ = node.read::<BTreeMap<String, i64>>().map_err(|error| error.to_string());
    let _ = node.read_field::<Vec<i32>>("stackTrace").map_err(|error| error.to_string());
    let _ = (node.extra("java.util.ArrayList").is_ok(), node.entries().is_ok());
    for (name, field) in node.fields() {
        let _ = (node.field(&name).is_ok(), field.elements().is_ok());
    }
}
