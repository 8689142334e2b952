//! What goes to the child, byte for byte, and what does not.

use super::*;
use crate::command::PlainValue;
use crate::relay::Relayed;

#[tokio::test(start_paused = true)]
async fn the_child_starts_with_the_first_request_for_it_and_gets_the_bytes() {
    let mut trio = trio();
    trio.peer.request(1, 0, native("here"));
    assert_eq!(trio.peer.text(1).await, "here");
    trio.no_child().await;
    assert_eq!(trio.channel.child_pid(), None);

    let raw = trio.peer.request_raw(2, 0, callable("there"));
    let mut kid = trio.child().await;
    assert_eq!(kid.handed().await, raw);
    settle().await;
    assert_eq!((trio.channel.running(), trio.channel.child_pid()), (1, Some(4711)));
    // Native requests go on beside it.
    trio.peer.request(3, 0, native("beside"));
    assert_eq!(trio.peer.text(3).await, "beside");
    let answer = kid.answer(2, 5, "from the child");
    assert_eq!(trio.peer.next_bytes().await.unwrap(), answer);
    settle().await;
    assert_eq!(trio.channel.running(), 0);

    // The next ones find it running.
    for id in 4..50 {
        let raw = trio.peer.request_raw(id, 0, callable(format!("number {id}")));
        assert_eq!(kid.handed().await, raw);
        let answer = kid.answer(id, 0, "yes");
        assert_eq!(trio.peer.next_bytes().await.unwrap(), answer);
    }
    trio.no_child().await;
    let by_class = [("demo.Callable".to_owned(), 47)].into();
    assert_eq!(trio.channel.relayed(), Relayed { by_class, failed: [].into(), children: 1 });
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_eager_child_starts_at_once_and_noise_before_its_greeting_is_skipped() {
    let noise = b"Picked up JAVA_TOOL_OPTIONS: -Xshare\n<===[JENKINS";
    let mut trio = trio_with(mixed(), |script| script.noise = noise, |relay| relay.eager = true);
    let mut kid = trio.child().await;
    let raw = trio.peer.request_raw(2, 0, callable("there"));
    assert_eq!(kid.handed().await, raw);
    // Empty commands, which end a Java stream, are left out.
    kid.says.send(Bytes::from_static(&[0, 0, 0, 0])).unwrap();
    kid.answer(2, 0, "yes");
    assert_eq!(trio.peer.text(2).await, "yes");
}

#[tokio::test(start_paused = true)]
async fn large_commands_arrive_whole_in_both_directions() {
    let mut trio = trio();
    let text: String = "0123456789abcdef".repeat(200_000);
    let raw = trio.peer.request_raw(1, 0, callable(text.clone()));
    let mut kid = trio.child().await;
    assert_eq!(kid.handed().await, raw);
    let answer = kid.answer(1, 0, &text);
    assert_eq!(trio.peer.next_bytes().await.unwrap(), answer);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_here_is_the_childs() {
    let mut trio = trio();
    let garbage = request_bytes(1, 0, b"\xac\xed\x00\x05\x73\x71".to_vec());
    trio.peer.send_bytes(garbage.clone());
    let mut kid = trio.child().await;
    assert_eq!(kid.handed().await, garbage);
    kid.answer(1, 0, "read it");
    assert_eq!(trio.peer.text(1).await, "read it");

    static NEW_REQUEST: Class =
        Class::new("hudson.remoting.NewRequest", 1).extends(&class::REQUEST);
    static NEW_COMMAND: Class =
        Class::new("hudson.remoting.NewCommand", 1).extends(&class::COMMAND);
    let commands = [
        raw_of(Object::new(&NEW_REQUEST).with("id", 2)),
        raw_of(Object::new(&NEW_COMMAND)),
        raw_of(Object::new(&class::USER_REQUEST).with("id", 3)),
        Bytes::from_static(b"\xac\xed\x00\x05garbage"),
    ];
    for command in &commands {
        trio.peer.send_bytes(command.clone());
        assert_eq!(&kid.handed().await, command);
    }
    for id in [2, 3] {
        kid.say_bytes(null_answer(id));
        assert_eq!(trio.peer.response(id).await.1, Outcome::Plain(None));
    }
}

#[tokio::test(start_paused = true)]
async fn commands_go_by_the_owner_of_the_id_they_name() {
    let mut trio = trio();
    // Before there is a child, nothing is the child's.
    trio.peer.send_bytes(raw_of(outer_call(1, 0, 7)));
    assert!(matches!(trio.peer.response(1).await.1, Outcome::Failed { .. }));
    trio.peer.request(2, 0, rpc(1, "getProperty", vec!["key".into()]));
    assert!(matches!(trio.peer.response(2).await.1, Outcome::Value(_)));
    trio.no_child().await;
    let mut kid = trio.busy_child().await;

    let (sink, mut reader) = trio.channel.export_sink();
    let mine = raw_of(outer_call(3, 0, 7));
    trio.peer.send_bytes(mine.clone());
    assert_eq!(kid.handed().await, mine);
    kid.say_bytes(null_answer(3));
    assert_eq!(trio.peer.response(3).await.1, Outcome::Plain(None));
    let read = trio.peer.send_raw(Outgoing::ReadRequest { id: 4, oid: 8, len: 100 });
    assert_eq!(kid.handed().await, read);
    let buffer = Object::new(&class::INPUT_BUFFER).with("len", 2).with("buf", b"ok".to_vec());
    let (exception, value) = (Datum::Null, buffer.into());
    kid.say(Outgoing::Response { id: 4, last_io: 0, exception, value });
    let ok = PlainValue::Buffer(Some(Bytes::from_static(b"ok")));
    assert_eq!(trio.peer.response(4).await.1, Outcome::Plain(Some(ok)));

    for (id, oid) in [(5, 1), (6, 7)] {
        let raw = trio.peer.request_raw(id, 0, rpc(oid, "getProperty", vec!["key".into()]));
        assert_eq!(kid.handed().await, raw);
        kid.answer(id, 0, "property");
        assert_eq!(trio.peer.text(id).await, "property");
    }
    for command in [
        Outgoing::Unexport { oid: 7 },
        Outgoing::InputEof { oid: 8 },
        Outgoing::Connect { oid_pos: 70, oid_ros: 9 },
        Outgoing::StreamUnexport { io: 0, oid: 10 },
    ] {
        let raw = trio.peer.send_raw(command);
        assert_eq!(kid.handed().await, raw);
    }
    // What this side has stays here.
    trio.peer.chunk(1, sink, b"mine");
    trio.peer.send(Outgoing::Unexport { oid: sink + 1 });
    trio.peer.send(Outgoing::Chunk { io: 2, oid: -5, request: 0, data: Bytes::from_static(b"?") });
    assert_eq!(soon(reader.next()).await.unwrap().unwrap(), "mine");
    assert_eq!(trio.peer.next().await, Command::NotifyDeadWriter { oid: -5 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: -5, size: 1 });
    drop(reader);
    assert_eq!(trio.peer.next().await, Command::Ack { oid: sink, size: 4 });
    kid.idle().await;
    // Windows are the business of both.
    let ack = trio.peer.send_raw(Outgoing::Ack { oid: 77, size: 5 });
    assert_eq!(kid.handed().await, ack);
    let dead = trio.peer.send_raw(Outgoing::NotifyDeadWriter { oid: 77 });
    assert_eq!(kid.handed().await, dead);
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_both_sides_get_their_own_answers() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    let channel = trio.channel.clone();
    let ping = tokio::spawn(async move { channel.ping().await });
    let Command::UserRequest { id: here, .. } = trio.peer.next().await else { panic!() };
    let call = kid.say(Outgoing::SystemCall {
        id: 0,
        oid: CORE,
        method: "fetch",
        argument: "demo.Class".to_owned(),
    });
    assert_eq!(trio.peer.next_bytes().await.unwrap(), call);
    let value = Datum::from(vec![1_u8, 2, 3]);
    let (exception, last_io) = (Datum::Null, 0);
    let raw = trio.peer.send_raw(Outgoing::Response { id: 0, last_io, exception, value });
    assert_eq!(kid.handed().await, raw);
    trio.peer.answer(here, 0, Datum::Null);
    assert_eq!(soon(ping).await.unwrap(), Ok(()));
    kid.idle().await;
}

#[tokio::test(start_paused = true)]
async fn cancels_go_to_who_runs_the_request() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    trio.peer.request(1, 0, callable("long"));
    kid.handed().await;
    let cancel = trio.peer.send_raw(Outgoing::Cancel { id: 1 });
    assert_eq!(kid.handed().await, cancel);
    trio.peer.send(Outgoing::Cancel { id: 99 });
    // The child answers all the same, once.
    kid.answer(1, 0, "interrupted");
    assert_eq!(trio.peer.text(1).await, "interrupted");
    kid.answer(1, 0, "again");
    kid.idle().await;
    trio.peer.silence().await;
    assert_eq!(trio.channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_child_has_not_seen_is_cancelled_at_once() {
    let mut trio = trio_with(mixed(), |script| script.greets = false, |_| {});
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    let second = trio.peer.request_raw(2, 0, callable("second"));
    settle().await;
    trio.peer.send(Outgoing::Cancel { id: 1 });
    assert!(trio.peer.thrown(1).await.contains("InterruptedException"));
    kid.says.send(Greeting::ours(Capability::CURRENT)).unwrap();
    assert_eq!(kid.handed().await, second);
    kid.idle().await;
}

#[tokio::test(start_paused = true)]
async fn objects_that_come_home_decide_where_a_request_goes() {
    static PLUGINS: Class =
        Class::new("demo.Plugins", 1).fields(&[Field::reference("argument", "Ljava/lang/Object;")]);
    fn of(class: &'static Class, homes: &[i32]) -> Object {
        let proxies = homes.iter().map(|oid| {
            let handler =
                Object::new(&class::INVOCATION_HANDLER).with("oid", *oid).with("goingHome", true);
            Datum::Proxy(&["demo.Thing", "hudson.remoting.IReadResolve"], Box::new(handler))
        });
        Object::new(class).with("argument", jdk::array_list(proxies.collect()))
    }
    let with_homes = |homes: &[i32]| of(&NATIVE, homes);
    let mut trio = trio_with(
        service(|_, callable| {
            let native = callable.is_a(NATIVE.name());
            Box::pin(async move { if native { Reply::value("here") } else { Reply::relayed() } })
        }),
        |_| {},
        |_| {},
    );
    let mut kid = trio.busy_child().await;
    trio.peer.request(1, 0, with_homes(&[NATIVE_BASE + 5]));
    assert_eq!(trio.peer.text(1).await, "here");
    let raw = trio.peer.request_raw(2, 0, with_homes(&[5, 6]));
    assert_eq!(kid.handed().await, raw);
    trio.peer.request(3, 0, with_homes(&[5, NATIVE_BASE + 5]));
    assert!(trio.peer.thrown(3).await.contains("neither has both"));
    trio.peer.request(4, 0, of(&PLUGINS, &[NATIVE_BASE + 5]));
    let why = trio.peer.thrown(4).await;
    assert!(why.contains("demo.Plugins") && why.contains("which the JVM cannot reach"), "{why}");
    kid.idle().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_a_relayed_request_fails() {
    let (_channel, mut peer) = start(mixed());
    peer.request(1, 0, callable("there"));
    match peer.response(1).await.1 {
        Outcome::Thrown { message } => {
            assert!(message.contains("nothing that could run"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_can_be_told_from_its_wrapper() {
    let service = service(|_, _| Box::pin(async { Reply::relayed().of_class("demo.Inner") }));
    let mut trio = trio_with(service, |_| {}, |_| {});
    trio.busy_child().await;
    assert_eq!(trio.channel.relayed().by_class.get("demo.Inner"), Some(&1));
}
