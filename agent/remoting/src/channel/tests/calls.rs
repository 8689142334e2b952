//! Calls from this side to the peer.

use futures_util::FutureExt;

use super::*;
use crate::reference::ProxyReference;

const PROXY: ProxyReference = ProxyReference { oid: 6, going_home: false, auto_unexport: false };

impl Peer {
    /// The user request that comes next: its id, lastIoId and callable's class.
    async fn user_request(&mut self) -> (i32, i32, Bytes) {
        match self.next().await {
            Command::UserRequest { id, last_io, payload, .. } => (id, last_io, payload),
            other => panic!("expected a request, got {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_sent_with_the_cores_loader_and_answered() {
    let (channel, mut peer) = quiet();
    assert_eq!(channel.ping().await, Err(CallError::NoLoader));
    peer.introduce().await;
    let answer = async {
        let bytes = peer.next_bytes().await.unwrap();
        let graph = Graph::parse(&bytes, &java_object_stream::ReadOptions::default()).unwrap();
        let root = graph.root().unwrap();
        let loader = root.field("classLoaderProxy").unwrap();
        assert!(loader.is_a("hudson.remoting.RemoteClassLoader$RemoteIClassLoader"));
        assert_eq!(loader.read_field::<i32>("oid"), Ok(CORE));
        let payload = root.read_field::<&[u8]>("request").unwrap();
        let mut expected = b"\xac\xed\0\x05sr\0\x1fhudson.remoting.PingThread$Ping".to_vec();
        expected.extend(b"\0\0\0\0\0\0\0\x01\x02\0\0w\x08\xff\xff\xff\xff\0\0\0\x02xp");
        assert_eq!(payload, expected);
        let id = root.read_field::<i32>("id").unwrap();
        assert!(id >= NATIVE_BASE);
        peer.answer(id, 0, Datum::Null);
    };
    let (ping, ()) = tokio::join!(soon(channel.ping()), answer);
    assert_eq!(ping, Ok(()));
    assert_eq!(channel.inner.calls.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_a_call() {
    let (channel, mut peer) = quiet();
    peer.introduce().await;
    let thrown = Object::new(&class::EXCEPTION_RESPONSE)
        .with("rawResponse", user_stream(Throwable::io("no").into_datum()))
        .with("proxyResponse", Datum::Null);
    let unreadable = Object::new(&class::EXCEPTION_RESPONSE).with("rawResponse", vec![1_u8, 2]);
    let outcomes: [(Datum, Datum, Result<String, CallError>); 5] = [
        (
            Datum::Null,
            Object::new(&class::NORMAL_RESPONSE).with("response", user_stream("yes".into())).into(),
            Ok("yes".to_owned()),
        ),
        (Datum::Null, thrown.into(), Err(CallError::Thrown("java.io.IOException: no".to_owned()))),
        (
            Datum::Null,
            unreadable.into(),
            Err(CallError::Thrown("an unreadable exception".to_owned())),
        ),
        (
            Throwable::io("unserialisable").into_datum(),
            Datum::Null,
            Err(CallError::Failed("java.io.IOException: unserialisable".to_owned())),
        ),
        (
            Datum::Null,
            Datum::Null,
            Err(CallError::Failed("an answer without a user stream".to_owned())),
        ),
    ];
    for (exception, value, expected) in outcomes {
        let answer = async {
            let (id, _, _) = peer.user_request().await;
            peer.send(Outgoing::Response { id, last_io: 0, exception, value });
        };
        let (result, ()) = tokio::join!(soon(channel.call(Object::new(&ITEM))), answer);
        assert_eq!(result.map(|stream| text_of(&stream)), expected);
    }
    // An answer to nothing.
    peer.answer(99, 0, Datum::Null);
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_method_is_called_after_the_io_of_its_scope() {
    let (channel, mut peer) = quiet();
    peer.introduce().await;
    let scope = IoScope::new();
    let output = channel.output(3, scope.clone(), 0);
    output.write(Bytes::from_static(b"log")).await.unwrap();
    let proxy = channel.proxy(PROXY);
    let call = proxy.invoke("exited", &["int", "[B"], vec![jdk::integer(3), Datum::Null], &scope);
    let answer = async {
        let Command::Chunk { io, .. } = peer.next().await else { panic!("the chunk first") };
        let (id, last_io, payload) = peer.user_request().await;
        assert_eq!(last_io, io);
        let graph = Graph::parse(&payload, &java_object_stream::ReadOptions::default()).unwrap();
        let request = graph.root().unwrap();
        assert!(request.is_a("hudson.remoting.RemoteInvocationHandler$RPCRequest"));
        assert_eq!(request.read_field::<i32>("oid"), Ok(6));
        assert_eq!(request.read_field::<String>("methodName").unwrap(), "exited");
        assert_eq!(request.read_field::<Vec<String>>("types").unwrap(), ["int", "[B"]);
        let arguments = request.read_field::<Vec<Node<'_>>>("arguments").unwrap();
        assert_eq!(arguments[0].read::<i32>(), Ok(3));
        assert!(arguments[1].is_null());
        peer.answer(id, 0, Datum::Null);
    };
    assert!(tokio::join!(soon(call), answer).0.is_ok());
    drop(proxy);
    assert_eq!(peer.next().await, Command::Unexport { oid: 6 });
    // Not ours to give back.
    drop(channel.proxy(ProxyReference { going_home: true, ..PROXY }));
    drop(channel.proxy(ProxyReference { auto_unexport: true, ..PROXY }));
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_class_file_is_fetched_from_a_loader_of_the_peer() {
    let (channel, mut peer) = quiet();
    let unknown = Throwable::new(&jdk::ILLEGAL_STATE, "demo.Unknown").into_datum();
    for (exception, value, expected) in [
        (Datum::Null, Datum::Bytes(b"\xca\xfe".to_vec()), Ok(Bytes::from_static(b"\xca\xfe"))),
        (
            unknown,
            Datum::Null,
            Err(CallError::Failed("java.lang.IllegalStateException: demo.Unknown".to_owned())),
        ),
        (
            Datum::Null,
            Datum::Null,
            Err(CallError::Failed("an answer that is no class file".to_owned())),
        ),
    ] {
        let answer = async {
            let Command::RpcRequest { id, oid: PLUGIN, method, .. } = peer.next().await else {
                panic!("a call on the loader")
            };
            assert_eq!(method, "fetch");
            peer.send(Outgoing::Response { id, last_io: 0, exception, value });
        };
        let (fetched, ()) = tokio::join!(soon(channel.fetch_class(PLUGIN, "demo.Item")), answer);
        assert_eq!(fetched, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_the_io_that_it_names() {
    let (channel, mut peer) = quiet();
    peer.introduce().await;
    let (oid, mut reader) = channel.export_sink();
    let calling = tokio::spawn({
        let channel = channel.clone();
        async move { channel.sync_io().await }
    });
    let (id, _, _) = peer.user_request().await;
    peer.chunk(4, oid, b"first");
    peer.answer(id, 4, Datum::Null);
    settle().await;
    assert!(!calling.is_finished());
    assert!(soon(reader.next()).await.unwrap().is_some());
    drop(reader);
    assert_eq!(soon(calling).await.unwrap(), Ok(()));
    assert_eq!(channel.inner.calls.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_cancelled_at_the_peer() {
    let (channel, mut peer) = start_with_room(echo(), 1);
    peer.introduce().await;
    assert!(channel.ping().now_or_never().is_none());
    let (id, _, _) = peer.user_request().await;
    assert_eq!(peer.next().await, Command::Cancel { id });
    assert_eq!(channel.inner.calls.len(), 0);
    // The answer that was under way is for nobody.
    peer.answer(id, 0, Datum::Null);
    peer.silence().await;
    // One that was never sent needs no cancel.
    let output = channel.output(3, IoScope::new(), 0);
    let filling = tokio::spawn(async move {
        for _ in 0..60 {
            output.write(Bytes::from(vec![1; 60 << 10])).await?;
            output.acknowledged().now_or_never();
        }
        Ok::<_, StreamError>(())
    });
    settle().await;
    for _ in 0..60 {
        channel.inner.windows.acknowledge(3, 1 << 20);
        settle().await;
    }
    assert!(channel.ping().now_or_never().is_none());
    assert_eq!(channel.inner.calls.len(), 0);
    filling.abort();
    loop {
        match peer.next().await {
            Command::Chunk { .. } => {}
            Command::StreamUnexport { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    peer.silence().await;
}
