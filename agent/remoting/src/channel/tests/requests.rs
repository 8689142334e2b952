//! Requests of the peer: callables, exported objects, reads, cancellation and failures.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;
use crate::channel::running::MAX_RUNNING_REQUESTS;
use crate::loader::{Loader, Loaders};
use crate::reference::proxy_of;
use java_object_stream::{ReadOptions, Stored};

/// The loader tags of all classes in a stream.
fn tags(stream: &[u8]) -> Vec<(String, Option<Loader>)> {
    let graph = Graph::parse(stream, &ReadOptions::default()).unwrap();
    let loaders = Loaders::of(&graph);
    let mut tags: Vec<_> = graph
        .objects()
        .filter_map(|node| match node.stored() {
            Some(Stored::ClassDesc(desc)) => {
                Some((desc.name.to_string(), loaders.of_class(node.id()?)))
            }
            _ => None,
        })
        .collect();
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    tags
}

fn value(outcome: Outcome) -> Bytes {
    match outcome {
        Outcome::Value(stream) => stream,
        other => panic!("expected a value, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_names_the_loader_of_the_callable() {
    let (_channel, mut peer) = start(service(|call, callable| {
        assert_eq!(call.loader_of(callable), Some(PLUGIN));
        Box::pin(async { Reply::value(Object::new(&ITEM)) })
    }));
    peer.request(1, 0, callable(Datum::Null));
    let stream = value(peer.response(1).await.1);
    assert_eq!(tags(&stream), [("demo.Item".to_owned(), Some(Loader::Reader(PLUGIN)))]);

    let (_channel, mut peer) = start(service(|_, _| {
        Box::pin(async { Reply::value(Object::new(&ITEM)).with_loader(Some(9)) })
    }));
    peer.request(1, 0, callable(Datum::Null));
    let stream = value(peer.response(1).await.1);
    assert_eq!(tags(&stream), [("demo.Item".to_owned(), Some(Loader::Reader(9)))]);
}

#[tokio::test(start_paused = true)]
async fn a_callable_of_the_jdk_falls_back_to_the_requests_loader() {
    let (_channel, mut peer) =
        start(service(|_, _| Box::pin(async { Reply::value(Object::new(&ITEM)) })));
    peer.request_bytes(1, 0, user_stream(jdk::boolean(true)));
    let stream = value(peer.response(1).await.1);
    assert_eq!(tags(&stream), [("demo.Item".to_owned(), Some(Loader::Reader(CORE)))]);
}

#[tokio::test(start_paused = true)]
async fn an_exception_travels_raw_and_as_a_proxy() {
    let (_channel, mut peer) = start(service(|_, _| {
        let cause = Throwable::io("disk full");
        let thrown = Throwable::new(&jdk::ILLEGAL_STATE, "no").caused_by(cause);
        Box::pin(async { Reply::throw(thrown) })
    }));
    peer.request(1, 0, callable(Datum::Null));
    let bytes = peer.next_bytes().await.unwrap();
    let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
    let value = graph.root().unwrap().field("returnValue").unwrap();
    let message = |field| {
        let stream = value.read_field::<&[u8]>(field).unwrap();
        let graph = Graph::parse(stream, &ReadOptions::default()).unwrap();
        crate::command::throwable(graph.root().unwrap()).unwrap()
    };
    assert_eq!(
        message("rawResponse"),
        "java.lang.IllegalStateException: no, caused by java.io.IOException: disk full"
    );
    assert_eq!(message("proxyResponse"), "java.lang.IllegalStateException: no");
    let proxy = tags(value.read_field::<&[u8]>("proxyResponse").unwrap());
    assert!(
        proxy
            .contains(&("hudson.remoting.ProxyException".to_owned(), Some(Loader::Reader(PLUGIN))))
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_request_and_it_is_answered_all_the_same() {
    let (channel, mut peer) = start(service(|call, _| {
        Box::pin(async {
            call.cancellation().cancelled().await;
            Reply::value("stopped")
        })
    }));
    peer.request(7, 0, callable(Datum::Null));
    peer.request(8, 0, callable(Datum::Null));
    settle().await;
    assert_eq!(channel.running(), 2);
    peer.send(Outgoing::Cancel { id: 99 });
    peer.send(Outgoing::Cancel { id: 8 });
    assert_eq!(peer.text(8).await, "stopped");
    settle().await;
    assert_eq!(channel.running(), 1);
    peer.send(Outgoing::Cancel { id: 7 });
    assert_eq!(peer.text(7).await, "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_io_can_be_cancelled_and_is_not_run() {
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let (channel, mut peer) = start(service(move |_, _| {
        flag.store(true, Ordering::Release);
        Box::pin(async { Reply::null() })
    }));
    let (oid, _reader) = channel.export_sink();
    peer.chunk(3, oid, b"never read");
    peer.request(1, 3, callable(Datum::Null));
    settle().await;
    peer.send(Outgoing::Cancel { id: 1 });
    match peer.response(1).await.1 {
        Outcome::Thrown { message } => assert!(message.contains("InterruptedException")),
        other => panic!("{other:?}"),
    }
    assert!(!ran.load(Ordering::Acquire));
}

struct Adder;

impl ExportedObject for Adder {
    fn invoke<'a>(&'a self, call: &'a Call, invocation: Invocation<'a>) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            assert_eq!((invocation.method.as_str(), call.id()), ("add", 4));
            assert_eq!(invocation.types, ["java.lang.Object"; 2]);
            let numbers: Result<Vec<i32>, _> =
                invocation.arguments.iter().map(|argument| argument.read::<i32>()).collect();
            Reply::value(jdk::integer(numbers.unwrap().iter().sum()))
        })
    }
}

/// The oid in an answer that is a proxy.
fn oid_of(stream: &[u8]) -> i32 {
    let graph = Graph::parse(stream, &ReadOptions::default()).unwrap();
    let proxy = proxy_of(graph.root().unwrap()).unwrap();
    assert!(!proxy.going_home && !proxy.auto_unexport);
    proxy.oid
}

#[tokio::test(start_paused = true)]
async fn an_exported_object_is_called_and_released() {
    let (channel, mut peer) = start(service(|call, _| {
        let proxy = call
            .channel()
            .export_object(Arc::new(Adder), &["demo.Adder", "hudson.remoting.IReadResolve"]);
        Box::pin(async { Reply::value(proxy) })
    }));
    peer.request(1, 0, callable(Datum::Null));
    let oid = oid_of(&value(peer.response(1).await.1));
    assert!(oid > NATIVE_BASE);
    assert!(channel.retain_export(oid));
    peer.request(4, 0, rpc(oid, "add", vec![jdk::integer(2), jdk::integer(40)]));
    let sum = value(peer.response(4).await.1);
    let graph = Graph::parse(&sum, &ReadOptions::default()).unwrap();
    assert_eq!(graph.root().unwrap().read::<i32>(), Ok(42));

    peer.send(Outgoing::Unexport { oid });
    settle().await;
    assert_eq!(channel.exported(), 1, "it was mentioned twice");
    peer.send(Outgoing::Unexport { oid });
    peer.send(Outgoing::Unexport { oid });
    settle().await;
    assert_eq!(channel.exported(), 0);
    assert!(!channel.retain_export(oid));
    peer.request(5, 0, rpc(oid, "add", vec![]));
    match peer.response(5).await.1 {
        Outcome::Thrown { message } => assert_eq!(
            message,
            format!(
                "java.util.concurrent.ExecutionException: Invalid object ID {oid} iota={}",
                oid + 1
            )
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_channel_itself_has_no_properties() {
    let (_channel, mut peer) = quiet();
    peer.request(1, 0, rpc(1, "getProperty", vec!["key".into()]));
    let stream = value(peer.response(1).await.1);
    let graph = Graph::parse(&stream, &ReadOptions::default()).unwrap();
    assert!(graph.root().unwrap().is_null());
}

/// A command with the fields of an RPC request on the outer stream.
fn outer_rpc(id: i32, method: Datum) -> Object {
    let arguments = Datum::Array(&jdk::OBJECT_ARRAY, vec![]);
    Object::new(&class::USER_RPC_REQUEST)
        .with("id", id)
        .with("oid", 77)
        .with("methodName", method)
        .with("arguments", arguments)
}

async fn failure(peer: &mut Peer, id: i32) -> String {
    match peer.response(id).await.1 {
        Outcome::Failed { message } => message,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_run_are_answered() {
    static NEW_REQUEST: Class =
        Class::new("hudson.remoting.NewRequest", 1).extends(&class::REQUEST);
    static NEW_COMMAND: Class =
        Class::new("hudson.remoting.NewCommand", 1).extends(&class::COMMAND);
    let (_channel, mut peer) = quiet();
    peer.send_object(outer_rpc(1, "getName".into()));
    assert!(failure(&mut peer, 1).await.contains("ExecutionException: Invalid object ID 77"));
    peer.send_object(outer_rpc(2, Datum::Null));
    assert!(failure(&mut peer, 2).await.contains("methodName"));
    peer.send_object(Object::new(&NEW_REQUEST).with("id", 3));
    assert!(failure(&mut peer, 3).await.contains("hudson.remoting.NewRequest"));
    peer.send(Outgoing::ReadRequest { id: 4, oid: 5, len: 10 });
    assert!(failure(&mut peer, 4).await.contains("Invalid object ID 5"));
    peer.send_object(Object::new(&class::USER_REQUEST).with("id", 5));
    assert!(failure(&mut peer, 5).await.contains("request"));
    // What is no request is left out.
    peer.send_object(Object::new(&NEW_COMMAND));
    peer.send_object(Object::new(&class::CHUNK).with("oid", 3));
    peer.send_object(Object::new(&ITEM));
    peer.send_bytes(Bytes::from_static(b"\xac\xed\x00\x05garbage"));
    peer.send_bytes(Bytes::new());
    for payload in [vec![], b"\xac\xed\x00\x05".to_vec(), b"\xac\xed\x00\x05\x73\x71".to_vec()] {
        peer.request_bytes(6, 0, payload);
        match peer.response(6).await.1 {
            Outcome::Thrown { message } => assert!(message.contains("cannot read"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    peer.request(9, 0, callable("still here"));
    assert_eq!(peer.text(9).await, "still here");
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_answered() {
    let (channel, mut peer) = start(service(|_, _| Box::pin(async { panic!("on purpose") })));
    peer.request(1, 0, callable(Datum::Null));
    match peer.response(1).await.1 {
        Outcome::Thrown { message } => assert!(message.contains("bug"), "{message}"),
        other => panic!("{other:?}"),
    }
    settle().await;
    assert_eq!(channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_encoded_is_answered() {
    let (_channel, mut peer) = start(service(|_, _| {
        Box::pin(async { Reply::value(Object::new(&ITEM).with("no such field", 1)) })
    }));
    peer.request(1, 0, callable(Datum::Null));
    assert!(failure(&mut peer, 1).await.contains("cannot encode its answer"));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_at_once_are_bounded_and_all_answered() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let (channel, mut peer) = start(service(move |call, _| {
        counter.fetch_add(1, Ordering::AcqRel);
        Box::pin(async {
            call.cancellation().cancelled().await;
            Reply::null()
        })
    }));
    for id in 0..10_000 {
        peer.request(id, 0, callable(Datum::Null));
    }
    let refused = 10_000 - MAX_RUNNING_REQUESTS;
    for _ in 0..refused {
        match peer.next().await {
            Command::Response { outcome: Outcome::Thrown { message }, .. } => {
                assert!(message.contains("8192 requests already"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    settle().await;
    assert_eq!((channel.running(), ran.load(Ordering::Acquire)), (8192, 8192));
    for id in 0..10_000 {
        peer.send(Outgoing::Cancel { id });
    }
    for _ in 0..MAX_RUNNING_REQUESTS {
        assert!(matches!(peer.next().await, Command::Response { outcome: Outcome::Value(_), .. }));
    }
    settle().await;
    assert_eq!(channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_id_used_twice_at_once_is_answered_twice() {
    let (channel, mut peer) = start(service(|call, _| {
        Box::pin(async {
            call.cancellation().cancelled().await;
            Reply::value("cancelled")
        })
    }));
    peer.request(1, 0, callable(Datum::Null));
    peer.request(1, 0, callable(Datum::Null));
    settle().await;
    assert_eq!(channel.running(), 2);
    // The cancel goes to the later one; the other ends with the channel at the latest.
    peer.send(Outgoing::Cancel { id: 1 });
    assert_eq!(peer.text(1).await, "cancelled");
    settle().await;
    assert_eq!(channel.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_pulled_and_closed() {
    let (channel, mut peer) = quiet();
    let (mut writer, reader) = tokio::io::duplex(64);
    let oid = channel.export_source(reader);
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"abcdef").await.unwrap();
    let buffer = |bytes: Option<&'static [u8]>| {
        Outcome::Plain(Some(crate::command::PlainValue::Buffer(bytes.map(Bytes::from_static))))
    };
    for (id, expected) in [(1, b"abcd" as &[u8]), (2, b"ef")] {
        peer.send(Outgoing::ReadRequest { id, oid, len: 4 });
        assert_eq!(peer.response(id).await, (0, buffer(Some(expected))));
    }
    // A read that waits does not hold up the channel, and can be cancelled.
    peer.send(Outgoing::ReadRequest { id: 3, oid, len: i32::MAX });
    peer.request(4, 0, callable("beside"));
    assert_eq!(peer.text(4).await, "beside");
    peer.send(Outgoing::Cancel { id: 3 });
    assert!(failure(&mut peer, 3).await.contains("InterruptedException"));
    drop(writer);
    peer.send(Outgoing::ReadRequest { id: 5, oid, len: 4 });
    assert_eq!(peer.response(5).await.1, buffer(None));
    peer.send(Outgoing::InputEof { oid });
    settle().await;
    assert_eq!(channel.exported(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_a_source_ends_the_read_that_waits_for_it() {
    let (channel, mut peer) = quiet();
    let (writer, reader) = tokio::io::duplex(64);
    let oid = channel.export_source(reader);
    peer.send(Outgoing::ReadRequest { id: 1, oid, len: 4 });
    settle().await;
    peer.send(Outgoing::InputEof { oid });
    assert!(failure(&mut peer, 1).await.contains("the stream was closed"));
    settle().await;
    let mut writer = writer;
    let gone = tokio::io::AsyncWriteExt::write_all(&mut writer, b"x").await;
    assert!(gone.is_err(), "the source is dropped");
}
