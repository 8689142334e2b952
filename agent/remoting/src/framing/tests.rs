//! Framing: examples from the protocol, limits, and properties over arbitrary cuts.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    ChunkReader, ChunkWriter, ChunkWriterOptions, FramingError, MAX_EMPTY_CHUNKS, MAX_MESSAGE_BYTES,
};

fn messages(options: ChunkWriterOptions, commands: &[Vec<u8>]) -> Vec<Bytes> {
    let mut writer = ChunkWriter::new(options);
    let mut out = Vec::new();
    for command in commands {
        writer.push(Bytes::from(command.clone()));
        while let Some(message) = writer.full_message() {
            out.push(message);
        }
    }
    while let Some(message) = writer.next_message() {
        out.push(message);
    }
    assert!(writer.is_empty());
    out
}

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Bytes>, FramingError> {
    reader.push(Bytes::copy_from_slice(bytes)).collect()
}

#[test]
fn compatible_writer_sends_what_the_java_agent_sends() {
    let out = messages(ChunkWriterOptions::compatible(), &[vec![1, 2, 3, 4, 5], vec![7; 10_000]]);
    assert_eq!(out.len(), 3);
    assert_eq!(&out[0][..], [0, 5, 1, 2, 3, 4, 5]);
    assert_eq!((&out[1][..2], out[1].len()), (&[0xA0, 0x00][..], 8194));
    assert_eq!((&out[2][..2], out[2].len()), (&[0x07, 0x10][..], 1810));
}

#[test]
fn exact_multiple_of_the_chunk_ends_without_an_empty_chunk() {
    let out = messages(ChunkWriterOptions::compatible(), &[vec![7; 16_384]]);
    assert_eq!(out.len(), 2);
    assert_eq!(&out[1][..2], [0x20, 0x00]);
}

#[test]
fn default_writer_fills_messages_to_the_controllers_limit() {
    let out = messages(ChunkWriterOptions::default(), &[vec![7; 1 << 20]]);
    assert!(out[..out.len() - 1].iter().all(|message| message.len() == MAX_MESSAGE_BYTES));
    let out = messages(ChunkWriterOptions::default(), &vec![vec![1; 10]; 100]);
    assert_eq!(out.len(), 1, "small commands share a message");
}

#[test]
fn out_of_range_sizes_are_put_into_range() {
    let data = vec![vec![9; 100_000]];
    for options in [
        ChunkWriterOptions::single(0),
        ChunkWriterOptions::single(usize::MAX),
        ChunkWriterOptions::batched(usize::MAX, usize::MAX),
        ChunkWriterOptions::batched(8192, 0),
    ] {
        let out = messages(options, &data);
        assert!(out.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
        let mut reader = ChunkReader::default();
        assert_eq!(read_all(&mut reader, &out.concat()).unwrap(), [Bytes::from(data[0].clone())]);
    }
}

#[test]
fn a_large_command_in_one_chunk_is_not_copied() {
    let message = Bytes::from([&[0x20, 0x00][..], &[5; 8192]].concat());
    let address = message[2..].as_ptr();
    let mut reader = ChunkReader::default();
    let command = reader.push(message).next().unwrap().unwrap();
    assert_eq!((command.len(), command.as_ptr()), (8192, address));
}

#[test]
fn a_small_command_does_not_keep_its_message_alive() {
    let mut bytes = vec![0, 3, 1, 2, 3];
    bytes.extend([0; 60_000]);
    let message = Bytes::from(bytes);
    let kept = message.clone();
    let mut reader = ChunkReader::default();
    let commands: Vec<_> = reader.push(message).collect::<Result<_, _>>().unwrap();
    assert_eq!(commands, [Bytes::from_static(&[1, 2, 3])]);
    assert!(kept.is_unique());
}

#[test]
fn empty_commands_are_skipped_and_an_empty_last_chunk_ends_a_command() {
    let mut reader = ChunkReader::default();
    let bytes = [0, 0, 0x80, 2, 8, 9, 0, 0, 0, 0, 0, 1, 7];
    assert_eq!(
        read_all(&mut reader, &bytes).unwrap(),
        [Bytes::from_static(&[8, 9]), Bytes::from_static(&[7])]
    );
    assert!(!reader.is_mid_command());
}

#[test]
fn commands_left_in_the_iterator_come_with_the_next_push() {
    let mut reader = ChunkReader::default();
    let first = reader.push(Bytes::from_static(&[0, 1, 1, 0, 1, 2, 0])).next();
    assert_eq!(first, Some(Ok(Bytes::from_static(&[1]))));
    assert_eq!(
        read_all(&mut reader, &[1, 3]).unwrap(),
        [Bytes::from_static(&[2]), Bytes::from_static(&[3])]
    );
}

#[test]
fn a_command_above_the_limit_is_refused_by_its_header() {
    let mut reader = ChunkReader::with_limit(10);
    assert_eq!(read_all(&mut reader, &[0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]).unwrap().len(), 1);
    let too_long = FramingError::CommandTooLong { limit: 10 };
    assert_eq!(read_all(&mut reader, &[0x80, 6, 1, 2, 3, 4, 5, 6, 0, 5]), Err(too_long.clone()));
    assert_eq!(read_all(&mut reader, &[0, 1, 1]), Err(too_long), "the reader stays failed");
}

#[test]
fn empty_chunks_cannot_go_on_for_ever() {
    let mut reader = ChunkReader::default();
    assert_eq!(
        read_all(&mut reader, &[0x80, 0].repeat(MAX_EMPTY_CHUNKS)).unwrap(),
        [] as [Bytes; 0]
    );
    assert!(reader.is_mid_command());
    assert_eq!(
        read_all(&mut reader, &[0x80, 0]),
        Err(FramingError::EndlessCommand { limit: MAX_EMPTY_CHUNKS })
    );
}

fn commands() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let command = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..50),
        1 => prop::collection::vec(any::<u8>(), 8180..8200),
        1 => prop::collection::vec(any::<u8>(), 1..100_000),
    ];
    prop::collection::vec(command, 0..8)
}

fn options() -> impl Strategy<Value = ChunkWriterOptions> {
    prop_oneof![
        Just(ChunkWriterOptions::default()),
        Just(ChunkWriterOptions::compatible()),
        (1usize..70_000).prop_map(ChunkWriterOptions::single),
        (1usize..70_000, 1usize..70_000)
            .prop_map(|(chunk, message)| ChunkWriterOptions::batched(chunk, message)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_of_any_commands_gives_the_same_commands(
        commands in commands(),
        options in options(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let messages = messages(options, &commands);
        prop_assert!(messages.iter().all(|message| !message.is_empty() && message.len() <= MAX_MESSAGE_BYTES));
        let wire = messages.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        let mut reader = ChunkReader::default();
        let mut seen = Vec::new();
        for pair in at.windows(2) {
            seen.extend(read_all(&mut reader, &wire[pair[0]..pair[1]]).unwrap());
        }
        prop_assert!(!reader.is_mid_command());
        prop_assert_eq!(seen, commands);
    }

    #[test]
    fn garbage_never_panics_and_memory_stays_bounded(
        portions in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..50),
    ) {
        const LIMIT: usize = 20_000;
        let mut reader = ChunkReader::with_limit(LIMIT);
        for portion in portions {
            for command in reader.push(portion) {
                let Ok(command) = command else { break };
                prop_assert!(!command.is_empty() && command.len() <= LIMIT);
            }
            prop_assert!(reader.held_bytes() <= 2 * LIMIT);
        }
    }
}
