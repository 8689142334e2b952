//! Peers that send anything: damaged commands, wrong types, impossible lengths, impossible graphs.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::command::recorded;

/// One recorded command of each class and of each callable, which are small enough to be mutated often.
static SEEDS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let mut seen = std::collections::BTreeSet::new();
    recorded::ALL
        .iter()
        .filter(|command| command.bytes.len() < 6000)
        .filter(|command| {
            let kind = match Command::decode(&command.bytes) {
                Ok(Command::UserRequest { description, .. }) => description,
                _ => String::new(),
            };
            let kind = kind.split(['@', '(', '[']).next().unwrap_or_default().to_owned();
            seen.insert((command.by_controller, command.class.clone(), kind))
        })
        .map(|command| command.bytes.clone())
        .collect()
});

#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Double(Index, usize),
    Word(Index, u32),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        // Type codes are the bytes that change most.
        (at(), 0x70_u8..=0x7E).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        at().prop_map(Mutation::Cut),
        (at(), 1_usize..40).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (at(), 1_usize..400).prop_map(|(at, count)| Mutation::Double(at, count)),
        (at(), prop_oneof![Just(u32::MAX), Just(0x7FFF_FFFF), Just(0x007E_0000), any::<u32>()])
            .prop_map(|(at, word)| Mutation::Word(at, word)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match mutation {
        Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
        Mutation::Flip(at, mask) => bytes[at.index(length)] ^= mask,
        Mutation::Cut(at) => bytes.truncate(at.index(length)),
        Mutation::Remove(at, count) => {
            let at = at.index(length);
            bytes.drain(at..(at + count).min(length));
        }
        Mutation::Double(at, count) => {
            let at = at.index(length);
            let part = bytes[at..(at + count).min(length)].to_vec();
            bytes.splice(at..at, part);
        }
        Mutation::Word(at, word) => {
            let at = at.index(length);
            for (slot, byte) in bytes[at..].iter_mut().zip(word.to_be_bytes()) {
                *slot = byte;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// The decoder, and a live channel with streams and requests, outlive whatever comes.
    #[test]
    fn mutated_commands_never_panic_and_the_channel_goes_on(
        commands in vec((any::<Index>(), vec(mutation(), 0..4)), 1..40),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (channel, mut peer) = quiet();
            peer.introduce().await;
            let _sink = channel.export_sink();
            let output = channel.output(3, IoScope::new(), 0);
            for (seed, mutations) in &commands {
                let mut bytes = seed.get(&SEEDS).to_vec();
                for mutation in mutations {
                    mutate(&mut bytes, mutation);
                }
                let bytes = Bytes::from(bytes);
                // A goodbye is taken at its word.
                if !matches!(Command::decode(&bytes), Ok(Command::Close { .. })) {
                    peer.send_bytes(bytes);
                }
            }
            peer.request(-77, 0, callable("alive"));
            loop {
                if let Command::Response { id: -77, outcome: Outcome::Value(value), .. } =
                    peer.next().await
                    && text_or_none(&value).as_deref() == Some("alive")
                {
                    break;
                }
            }
            drop(output);
            assert_eq!(channel.end(), None);
        });
    }

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..300), header in any::<bool>()) {
        let mut bytes = if header { b"\xac\xed\x00\x05".to_vec() } else { Vec::new() };
        bytes.extend(noise);
        let _ = Command::decode(&bytes.into());
    }
}

fn text_or_none(stream: &[u8]) -> Option<String> {
    let graph = Graph::parse(stream, &java_object_stream::ReadOptions::default()).ok()?;
    graph.root().ok()?.read::<String>().ok()
}

#[test]
fn impossible_lengths_are_refused_without_allocating() {
    let encoder = Encoder::new().unwrap();
    let chunk = Outgoing::Chunk { io: 1, oid: 2, request: 0, data: Bytes::from_static(b"abc") };
    let chunk = encoder.encode(chunk).unwrap();
    let length_at = chunk.len() - 7;
    for length in [4_u32, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        let mut bytes = chunk.to_vec();
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        assert!(Command::decode(&bytes.into()).is_err(), "{length:#x}");
    }
    // A long string of 4 GiB and more, a block of 2 GiB, a deep nest, and as many objects as fit.
    for start in [
        b"\xac\xed\x00\x05\x7c\x00\x00\x00\x01\x00\x00\x00\x00".to_vec(),
        b"\xac\xed\x00\x05\x7c\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"\xac\xed\x00\x05\x7a\x7f\xff\xff\xff".to_vec(),
        b"\xac\xed\x00\x05\x7a\xff\xff\xff\xff".to_vec(),
    ] {
        assert!(Command::decode(&start.into()).is_err());
    }
    let nested = [
        b"\xac\xed\x00\x05".to_vec(),
        b"ur\x00\x01[\0\0\0\0\0\0\0\0\x02\0\0xp\0\0\0\x01".repeat(100_000),
    ]
    .concat();
    assert!(Command::decode(&nested.into()).is_err());
}

#[tokio::test(start_paused = true)]
async fn fields_of_other_types_than_declared_are_errors() {
    static WRONG: [Class; 4] = [
        Class::new("hudson.remoting.ProxyOutputStream$Chunk", 1).fields(&[
            Field::reference("buf", "Ljava/lang/String;"),
            Field::reference("ioId", "Ljava/lang/Object;"),
            Field::reference("oid", "Ljava/lang/Object;"),
        ]),
        Class::new("hudson.remoting.ProxyOutputStream$Ack", 1)
            .fields(&[Field::long("oid"), Field::bool("size")]),
        Class::new("hudson.remoting.Request$Cancel", 1),
        Class::new("hudson.remoting.ProxyWriter$Chunk", 1).fields(&[
            Field::int("ioId"),
            Field::int("oid"),
            Field::reference("buf", "[B"),
        ]),
    ];
    let (channel, mut peer) = quiet();
    for class in &WRONG {
        let command = encode(&Object::new(class).into(), &mut Plain).unwrap();
        assert!(Command::decode(&command.clone().into()).is_err(), "{}", class.name());
        peer.send_bytes(command.into());
    }
    peer.introduce().await;
    assert_eq!(channel.end(), None);
}
