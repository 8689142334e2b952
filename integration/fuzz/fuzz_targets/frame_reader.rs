//! Chunks cut anywhere: the commands are the same however the bytes arrive, and no command is longer
//! than the limit.
#![no_main]

use bytes::Bytes;
use jenkins_remoting::framing::{ChunkReader, ChunkWriter, ChunkWriterOptions, FramingError};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4_096;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says into how long pieces the rest is cut.
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(stream));
    let pieces = read(stream.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
    assert!(whole.0.iter().all(|command| command.len() <= LIMIT));

    // What the writer cuts, the reader joins.
    let mut writer = ChunkWriter::new(ChunkWriterOptions::single(usize::from(piece).max(1)));
    for command in &whole.0 {
        writer.push(command.clone());
    }
    let mut messages = Vec::new();
    while let Some(message) = writer.next_message() {
        messages.push(message);
    }
    let again = read(messages.iter().map(AsRef::as_ref));
    assert_eq!(again, (whole.0, None));
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<FramingError>) {
    let mut reader = ChunkReader::with_limit(LIMIT);
    let mut commands = Vec::new();
    for piece in pieces {
        for command in reader.push(Bytes::copy_from_slice(piece)) {
            match command {
                Ok(command) => commands.push(command),
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}
