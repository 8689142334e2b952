//! What comes from a controller before the channel, cut anywhere: the agent's answers and the outcome are the
//! same however the bytes arrive. The same bytes as connection headers, as a key and as a certificate.
#![no_main]

use bytes::Bytes;
use jenkins_remoting::transport::{
    ConnectionHeaders, InstanceIdentity, Negotiated, Negotiation, NegotiationError,
};
use libfuzzer_sys::fuzz_target;

type Outcome = Result<Option<Negotiated>, NegotiationError>;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says into how long pieces the rest is cut.
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = negotiate(std::iter::once(stream));
    let pieces = negotiate(stream.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
    if let Err(error) = &whole.0 {
        assert!(!error.to_string().contains('\n') && error.to_string().len() < 2_000);
    }

    let text = String::from_utf8_lossy(stream);
    match ConnectionHeaders::decode(&text) {
        Ok(headers) => {
            assert_eq!(ConnectionHeaders::decode(&headers.encode()), Ok(headers));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for identity in [
        InstanceIdentity::parse(&text),
        InstanceIdentity::from_der(stream),
        InstanceIdentity::of_certificate(stream),
    ] {
        match identity {
            Ok(identity) => assert_eq!(identity.fingerprint().len(), 47),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

/// The outcome, and all that the agent says.
fn negotiate<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Outcome, Vec<u8>) {
    let Ok(mut negotiation) = Negotiation::new(&ConnectionHeaders::default()) else {
        panic!("empty headers fit");
    };
    let mut said = negotiation.take_output().to_vec();
    let mut done: Option<Negotiated> = None;
    for piece in pieces {
        if let Some(done) = &mut done {
            // The beginning of the chunks.
            done.rest = Bytes::from([&done.rest, piece].concat());
            continue;
        }
        negotiation.feed(piece);
        let outcome = negotiation.advance();
        said.extend_from_slice(&negotiation.take_output());
        match outcome {
            Ok(outcome) => done = outcome,
            Err(error) => return (Err(error), said),
        }
    }
    (Ok(done), said)
}
