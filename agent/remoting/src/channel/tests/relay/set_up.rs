//! What sets the connection up reaches the child before anything else, and the controller does not notice.

use super::*;

fn with_set_up(relay: &mut RelayOptions) {
    relay.set_up = &["demo.Native"];
}

/// The id of a request that is the same as `original` but for its own id and I/O.
fn replayed(command: &Bytes, original: &Bytes) -> i32 {
    let Ok(Command::UserRequest { id, last_io: 0, payload, loader, .. }) = Command::decode(command)
    else {
        panic!("{command:?}");
    };
    let Ok(Command::UserRequest { payload: expected, loader: by, .. }) = Command::decode(original)
    else {
        panic!()
    };
    assert_eq!((payload, loader, command.len()), (expected, by, original.len()));
    assert!(id >= 0x5000_0000);
    id
}

#[tokio::test(start_paused = true)]
async fn what_sets_up_is_replayed_first_and_its_answers_are_swallowed() {
    let mut trio = trio_with(mixed(), |script| script.restartable = true, with_set_up);
    let (sink, mut reader) = trio.channel.export_sink();
    trio.peer.chunk(3, sink, b"x");
    soon(reader.next()).await.unwrap();
    drop(reader);
    trio.peer.next().await;
    let set_up =
        [trio.peer.request_raw(1, 0, native("one")), trio.peer.request_raw(2, 3, native("two"))];
    for (id, text) in [(1, "one"), (2, "two")] {
        assert_eq!(trio.peer.text(id).await, text);
    }
    trio.no_child().await;
    let raw = trio.peer.request_raw(3, 0, callable("first"));
    let mut kid = trio.child().await;
    let mut ids = Vec::new();
    for original in &set_up {
        ids.push(replayed(&kid.handed().await, original));
    }
    // The request waits, but what the child asks for meanwhile is answered.
    kid.idle().await;
    let argument = "demo.Class".to_owned();
    let call = kid.say(Outgoing::SystemCall { id: 0, oid: CORE, method: "fetch", argument });
    assert_eq!(trio.peer.next_bytes().await.unwrap(), call);
    let (exception, value) = (Datum::Null, Datum::Null);
    let answer = trio.peer.send_raw(Outgoing::Response { id: 0, last_io: 0, exception, value });
    assert_eq!(kid.handed().await, answer);
    kid.answer(ids[0], 0, "swallowed");
    kid.idle().await;
    // What sets up now goes to both.
    let late = trio.peer.request_raw(4, 0, native("late"));
    assert_eq!(trio.peer.text(4).await, "late");
    let id = replayed(&kid.handed().await, &late);
    kid.answer(ids[1], 0, "swallowed");
    kid.idle().await;
    kid.answer(id, 0, "swallowed");
    assert_eq!(kid.handed().await, raw);
    kid.answer(3, 0, "done");
    assert_eq!(trio.peer.text(3).await, "done");

    // And all of it to the next child.
    kid.process.end("exit code 1");
    settle().await;
    trio.peer.request(5, 0, callable("second"));
    let mut next = trio.child().await;
    for original in set_up.iter().chain([&late]) {
        let id = replayed(&next.handed().await, original);
        next.answer(id, 0, "swallowed");
    }
    assert!(matches!(next.next().await, Command::UserRequest { id: 5, .. }));
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn calls_on_the_childs_own_objects_do_not_wait_for_what_sets_it_up() {
    let mut trio = trio_with(mixed(), |_| {}, with_set_up);
    trio.peer.request(1, 0, native("one"));
    trio.peer.text(1).await;
    let raw = trio.peer.request_raw(2, 0, callable("first"));
    let mut kid = trio.child().await;
    let Command::UserRequest { id: set_up, .. } = kid.next().await else { panic!() };
    // The child sets itself up, which makes the controller ask for its class loader, in either form, and
    // read its streams.
    let plain = raw_of(outer_call(3, 0, 2));
    trio.peer.send_bytes(plain.clone());
    assert_eq!(kid.handed().await, plain);
    let wrapped = trio.peer.request_raw(4, 0, rpc(1, "waitForProperty", vec!["key".into()]));
    assert_eq!(kid.handed().await, wrapped);
    let read = trio.peer.send_raw(Outgoing::ReadRequest { id: 5, oid: 8, len: 100 });
    assert_eq!(kid.handed().await, read);
    kid.idle().await;
    kid.answer(set_up, 0, "swallowed");
    assert_eq!(kid.handed().await, raw);
    for id in [3, 4, 5, 2] {
        let answer = kid.answer(id, 0, "done");
        assert_eq!(trio.peer.next_bytes().await.unwrap(), answer);
    }
}

#[tokio::test(start_paused = true)]
async fn references_are_given_back_once_however_many_children_get_them() {
    let mut trio = trio_with(mixed(), |script| script.restartable = true, with_set_up);
    let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", 44);
    let interfaces = &["demo.Thing", "hudson.remoting.IReadResolve"];
    let set_up = Object::new(&NATIVE).with("argument", Datum::Proxy(interfaces, Box::new(handler)));
    trio.peer.request(1, 0, set_up);
    assert!(trio.peer.thrown(1).await.contains("cannot read the fields"));
    for generation in 0..2 {
        trio.peer.request(2, 0, callable("first"));
        let mut kid = trio.child().await;
        let Command::UserRequest { id, .. } = kid.next().await else { panic!() };
        kid.answer(id, 0, "swallowed");
        assert!(matches!(kid.next().await, Command::UserRequest { id: 2, .. }));
        // What this side has from the request too is this side's to give back.
        kid.say(Outgoing::Unexport { oid: 44 });
        // The loaders are not, but the controller counted them once.
        kid.say(Outgoing::Unexport { oid: CORE });
        kid.say(Outgoing::Unexport { oid: PLUGIN });
        // Those of other requests always are.
        kid.say(Outgoing::Unexport { oid: CORE });
        kid.answer(2, 0, "done");
        let given_back: &[i32] = if generation == 0 { &[CORE, PLUGIN, CORE] } else { &[CORE] };
        for oid in given_back {
            assert_eq!(trio.peer.next().await, Command::Unexport { oid: *oid });
        }
        assert_eq!(trio.peer.text(2).await, "done");
        kid.process.end("exit code 1");
        settle().await;
    }
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_answer_what_sets_it_up_is_used_all_the_same() {
    let mut trio = trio_with(mixed(), |_| {}, with_set_up);
    trio.peer.request(1, 0, native("one"));
    trio.peer.text(1).await;
    let raw = trio.peer.request_raw(2, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.idle().await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(kid.handed().await, raw);
}
