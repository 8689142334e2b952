//! What of the controller's a child holds: its streams, its proxies, and calls to it. When the child is
//! gone, all of it is given back, as a JVM gives back what it has collected.

use std::collections::{HashMap, HashSet};

use java_object_stream::{Graph, Node};

use crate::class::name;
use crate::reference::{InputReference, input_of, output_of, proxy_of};

/// How many oids are kept account of. What is beyond stays with the controller until the channel ends.
const MAX_ENTRIES: usize = 1 << 16;

/// Something of the controller's, by oid, that a request or an answer brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// A byte stream to write to (`RemoteOutputStream`).
    Sink(i32),
    /// A character stream to write to (`RemoteWriter`).
    CharacterSink(i32),
    /// The writing end of a pipe.
    PipeSink(i32),
    /// The reading end of a pipe, which is to be connected.
    PipeSource(i32),
    /// A stream to pull from (`RemoteInputStream`).
    Source(i32),
    /// A proxy of an object.
    Proxy(i32),
}

/// What is left when a child is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) brought: Brought,
    pub(crate) mentions: u32,
    /// The request that brought it, if it was one.
    pub(crate) request: Option<i32>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    entries: HashMap<i32, Leftover>,
    /// The child's requests that the controller has not answered.
    calls: HashSet<i32>,
}

/// All that a user stream brings along.
pub(crate) fn brought_by(graph: &Graph<'_>) -> Vec<Brought> {
    graph.objects().filter_map(brought).collect()
}

fn brought(node: Node<'_>) -> Option<Brought> {
    if let Some(proxy) = proxy_of(node) {
        // Objects that come home, and those that their sender releases, are not the child's. Nor is any
        // loader given back: the controller would forget one that its next request names.
        let kept = !proxy.going_home && !proxy.auto_unexport && !is_class_loader(node);
        return kept.then_some(Brought::Proxy(proxy.oid));
    }
    let class = node.class_name()?;
    match class.as_ref() {
        "hudson.remoting.RemoteOutputStream" => output_of(node).ok().map(Brought::Sink),
        "hudson.remoting.RemoteWriter" => {
            let (block, _) = node.extra("hudson.remoting.RemoteWriter").ok()?;
            Some(Brought::CharacterSink(i32::from_be_bytes(*block.first_chunk()?)))
        }
        // A greedy one holds a pipe, which is an object of its own.
        "hudson.remoting.RemoteInputStream" => match input_of(node).ok()? {
            InputReference::Pull(oid) => Some(Brought::Source(oid)),
            InputReference::Greedy(_) => None,
        },
        name::PIPE => {
            let (block, _) = node.extra(name::PIPE).ok()?;
            let (writing, oid) = block.split_first()?;
            let oid = i32::from_be_bytes(*oid.first_chunk()?);
            Some(if *writing == 0 { Brought::PipeSource(oid) } else { Brought::PipeSink(oid) })
        }
        _ => None,
    }
}

fn is_class_loader(node: Node<'_>) -> bool {
    let interfaces = node.proxy_interfaces().unwrap_or_default();
    interfaces.iter().any(|name| name == "hudson.remoting.RemoteClassLoader$IClassLoader")
}

/// The oids of the objects of the reader's side that a user stream names.
pub(crate) fn going_home(graph: &Graph<'_>) -> Vec<i32> {
    let proxies = graph.objects().filter_map(proxy_of);
    proxies.filter(|proxy| proxy.going_home).map(|proxy| proxy.oid).collect()
}

/// The class loaders that a user stream holds as objects.
pub(crate) fn loaders_in(graph: &Graph<'_>) -> Vec<i32> {
    let loaders = graph.objects().filter(|node| is_class_loader(*node)).filter_map(proxy_of);
    loaders.filter(|proxy| !proxy.going_home).map(|proxy| proxy.oid).collect()
}

impl Brought {
    pub(crate) fn oid(self) -> i32 {
        match self {
            Self::Sink(oid)
            | Self::CharacterSink(oid)
            | Self::PipeSink(oid)
            | Self::PipeSource(oid)
            | Self::Source(oid)
            | Self::Proxy(oid) => oid,
        }
    }
}

impl Ledger {
    /// The child receives these, with a request or with an answer.
    pub(crate) fn received(&mut self, all: &[Brought], request: Option<i32>) {
        for brought in all {
            if let Some(entry) = self.entries.get_mut(&brought.oid()) {
                entry.mentions = entry.mentions.saturating_add(1);
                // The latest request is the one that uses it.
                entry.request = request;
            } else if self.entries.len() < MAX_ENTRIES {
                let entry = Leftover { brought: *brought, mentions: 1, request };
                self.entries.insert(brought.oid(), entry);
            }
        }
    }

    /// The child gave one mention back: ended or released a stream, connected a pipe, released a proxy.
    pub(crate) fn given_back(&mut self, oid: i32) {
        if let Some(entry) = self.entries.get_mut(&oid) {
            entry.mentions -= 1;
            if entry.mentions == 0 {
                self.entries.remove(&oid);
            }
        }
    }

    pub(crate) fn called(&mut self, id: i32) {
        if self.calls.len() < MAX_ENTRIES {
            self.calls.insert(id);
        }
    }

    pub(crate) fn call_answered(&mut self, id: i32) {
        self.calls.remove(&id);
    }

    /// What is left, in the order of the oids, and the calls that nobody waits for any more.
    pub(crate) fn leftovers(self) -> (Vec<Leftover>, Vec<i32>) {
        let mut entries: Vec<_> = self.entries.into_values().collect();
        entries.sort_by_key(|entry| entry.brought.oid());
        let mut calls: Vec<_> = self.calls.into_iter().collect();
        calls.sort_unstable();
        (entries, calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class;
    use crate::reference::{input_datum, output_datum};
    use java_object_stream::{Class, Datum, Object, Plain, ReadOptions, encode, jdk};

    static WRITER: Class = Class::new("hudson.remoting.RemoteWriter", 1).with_write_method();
    static PIPE: Class = Class::new("hudson.remoting.Pipe", 1).with_write_method();

    fn pipe(writing: u8, oid: u8) -> Object {
        Object::new(&PIPE).block(&PIPE, [writing, 0, 0, 0, oid])
    }

    fn proxy(oid: i32, flag: Option<&'static str>, interface: &'static [&'static str]) -> Datum {
        let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", oid);
        let handler = flag.into_iter().fold(handler, |handler, flag| handler.with(flag, true));
        Datum::Proxy(interface, Box::new(handler))
    }

    #[test]
    fn a_stream_is_searched_for_all_that_it_brings() {
        let items = vec![
            output_datum(11),
            Object::new(&WRITER).block(&WRITER, 12_i32.to_be_bytes()).into(),
            pipe(1, 13).into(),
            pipe(0, 14).into(),
            input_datum(15),
            Object::new(&class::REMOTE_INPUT_STREAM)
                .block(&class::REMOTE_INPUT_STREAM, [1])
                .value(&class::REMOTE_INPUT_STREAM, pipe(0, 16))
                .into(),
            proxy(17, None, &["demo.Thing"]),
            proxy(18, Some("autoUnexportByCaller"), &["demo.Thing"]),
            proxy(19, Some("goingHome"), &["demo.Thing"]),
            proxy(20, None, &["hudson.remoting.RemoteClassLoader$IClassLoader"]),
        ];
        let bytes = encode(&jdk::array_list(items), &mut Plain).unwrap();
        let without = class::WITHOUT_DEFAULT_FIELDS;
        let options = ReadOptions { without_default_fields: &without, ..ReadOptions::default() };
        let graph = Graph::parse(&bytes, &options).unwrap();
        use Brought::*;
        let mut found = brought_by(&graph);
        found.sort_by_key(|brought| brought.oid());
        assert_eq!(
            found,
            [
                Sink(11),
                CharacterSink(12),
                PipeSink(13),
                PipeSource(14),
                Source(15),
                PipeSource(16),
                Proxy(17)
            ]
        );
        assert_eq!(going_home(&graph), [19]);
    }

    #[test]
    fn each_mention_is_given_back_by_itself() {
        let mut ledger = Ledger::default();
        ledger.received(&[Brought::Proxy(5), Brought::Proxy(5), Brought::Sink(6)], Some(1));
        ledger.received(&[Brought::Proxy(5)], None);
        ledger.given_back(5);
        ledger.given_back(6);
        ledger.given_back(6);
        ledger.called(3);
        ledger.called(2);
        ledger.call_answered(3);
        let left = Leftover { brought: Brought::Proxy(5), mentions: 2, request: None };
        assert_eq!(ledger.leftovers(), (vec![left], vec![2]));
    }

    #[test]
    fn the_account_is_bounded() {
        let mut ledger = Ledger::default();
        for oid in 0..70_000 {
            ledger.received(&[Brought::Proxy(oid)], None);
            ledger.called(oid);
        }
        let (left, calls) = ledger.leftovers();
        assert_eq!((left.len(), calls.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
