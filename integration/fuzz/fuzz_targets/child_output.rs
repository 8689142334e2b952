//! What a child process prints: a greeting somewhere in it, then commands. The greeting is found at the same
//! place however the bytes are cut, and nothing after it is lost.
#![no_main]

use bytes::Bytes;
use jenkins_remoting::capability::Capability;
use jenkins_remoting::framing::ChunkReader;
use jenkins_remoting::relay::{Greeting, GreetingError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says into how long pieces the rest is cut.
    let Some((&piece, printed)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(printed));
    let pieces = read(printed.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
    let Ok((capability, commands)) = whole else { return };
    if capability.is_some() {
        assert!(printed.ends_with(&commands));
        let mut reader = ChunkReader::with_limit(4_096);
        let count = reader.push(commands).take_while(Result::is_ok).count();
        assert!(count <= printed.len());
    }

    // A real greeting is found after whatever is no part of one.
    if capability.is_none() && !printed.contains(&b'<') {
        let greeting = Greeting::ours(Capability::CURRENT);
        let all = [printed, &greeting, b"rest"].concat();
        let found = read(all.chunks(usize::from(piece).max(1)));
        assert_eq!(found, Ok((Some(Capability::CURRENT), Bytes::from_static(b"rest"))));
    }
});

type Found = (Option<Capability>, Bytes);

fn read<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> Result<Found, GreetingError> {
    let mut greeting = Greeting::default();
    while let Some(piece) = pieces.next() {
        let mut bytes = Bytes::copy_from_slice(piece);
        if let Some(capability) = greeting.read(&mut bytes)? {
            let mut rest = bytes.to_vec();
            rest.extend(pieces.flatten());
            return Ok((Some(capability), rest.into()));
        }
        assert!(bytes.is_empty());
    }
    Ok((None, Bytes::new()))
}
