//! The peer's jars over the channel.

use super::*;
use crate::jar::{JarChecksum, JarError};
use crate::reference::output_of;

static IMAGE: Class = Class::new("hudson.remoting.ResourceImageInJar", 1).fields(&[
    Field::long("sum1"),
    Field::long("sum2"),
    Field::string("path"),
]);
static DIRECT: Class = Class::new("hudson.remoting.ResourceImageDirect", 1)
    .fields(&[Field::reference("payload", "[B")]);
static FILE: Class = Class::new("hudson.remoting.RemoteClassLoader$ResourceFile", 1)
    .fields(&[Field::reference("image", "Lhudson/remoting/ResourceImageRef;")]);
static CLASS_FILE: Class = Class::new("hudson.remoting.RemoteClassLoader$ClassFile2", 1)
    .fields(&[Field::int("classLoader")])
    .extends(&FILE);

const LAUNCHER: &str = "hudson.remoting.Launcher";
const JAR: JarChecksum = JarChecksum { sum1: 0x1234, sum2: -5 };

async fn answer_with(peer: &mut Peer, image: Object) {
    let id = loop {
        match peer.next().await {
            Command::RpcRequest { id, oid: CORE, method, .. } if method == "fetch3" => break id,
            // The first request makes the loader known, whichever is answered first.
            Command::Response { id: -1, .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let file = Object::new(&CLASS_FILE).with("classLoader", CORE).with("image", image);
    let (exception, last_io) = (Datum::Null, 0);
    let value = jdk::hash_map(vec![(LAUNCHER.into(), file.into())]);
    peer.send(Outgoing::Response { id, last_io, exception, value });
}

#[tokio::test(start_paused = true)]
async fn the_jar_of_a_class_is_found_once_a_loader_is_known() {
    let (channel, mut peer) = quiet();
    let asking = channel.clone();
    let asked = tokio::spawn(async move { asking.jar_of(LAUNCHER).await });
    settle().await;
    assert!(!asked.is_finished());
    peer.request(-1, 0, callable("hello"));
    let image = Object::new(&IMAGE).with("sum1", JAR.sum1).with("sum2", JAR.sum2);
    answer_with(&mut peer, image).await;
    assert_eq!(soon(asked).await.unwrap().unwrap(), JAR);

    let asking = channel.clone();
    let asked = tokio::spawn(async move { asking.jar_of(LAUNCHER).await });
    answer_with(&mut peer, Object::new(&DIRECT).with("payload", vec![1_u8])).await;
    assert!(matches!(soon(asked).await.unwrap(), Err(JarError::NotInAJar { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_channel_ends_the_wait_for_a_loader() {
    let (channel, mut peer) = quiet();
    let asking = channel.clone();
    let asked = tokio::spawn(async move { asking.jar_of(LAUNCHER).await });
    settle().await;
    peer.to_channel = None;
    assert!(matches!(soon(asked).await.unwrap(), Err(JarError::Call(CallError::NoLoader))));
}

/// The id and the method of a call on an export of the controller, and the stream that it brings.
fn call_of(command: Command) -> (i32, i32, String, Option<i32>) {
    let Command::UserRequest { id, payload, .. } = command else { panic!("{command:?}") };
    let graph = Graph::parse(&payload, &java_object_stream::ReadOptions::default()).unwrap();
    let root = graph.root().unwrap();
    let sink = graph.objects().find_map(|node| output_of(node).ok());
    (id, root.read_field("oid").unwrap(), root.read_field("methodName").unwrap(), sink)
}

#[tokio::test(start_paused = true)]
async fn a_jar_is_downloaded_whole() {
    let (channel, mut peer) = quiet();
    peer.introduce().await;
    let downloading = tokio::spawn(async move {
        let mut jar = Vec::new();
        let length = channel.download_jar(JAR, &mut jar).await.unwrap();
        (length, jar)
    });
    let (id, oid, method, _) = call_of(peer.next().await);
    assert_eq!((oid, method.as_str()), (1, "waitForProperty"));
    let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", 40);
    let interfaces = &["hudson.remoting.JarLoader", "hudson.remoting.IReadResolve"];
    peer.answer(id, 0, Datum::Proxy(interfaces, Box::new(handler)));
    let (id, oid, method, sink) = call_of(peer.next().await);
    assert_eq!((oid, method.as_str()), (40, "writeJarTo"));
    let sink = sink.unwrap();
    for number in 1..=50_u8 {
        let (io, data) = (i32::from(number), Bytes::from(vec![number; 8192]));
        peer.send(Outgoing::Chunk { io, oid: sink, request: 0, data });
    }
    // The answer may overtake the data, and names it.
    peer.answer(id, 50, Datum::Null);
    let (length, jar) = soon(downloading).await.unwrap();
    assert_eq!((length, jar.len()), (50 * 8192, 50 * 8192));
    assert!(jar.chunks(8192).zip(1..).all(|(chunk, io)| chunk == [io; 8192]));
}
