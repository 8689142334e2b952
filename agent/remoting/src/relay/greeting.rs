//! What both sides of a child's pipes say before the first command: a capability, then the mark of the
//! binary mode (`ChannelBuilder.negotiate`). A JVM agent may print other things before.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::capability::{CAPABILITY_BYTES, Capability, CapabilityError};

/// `Capability.PREAMBLE`.
const PREAMBLE: &[u8] = b"<===[JENKINS REMOTING CAPACITY]===>";

/// `Channel.Mode.BINARY`.
const BINARY: [u8; 4] = [0; 4];

/// The length of a capability in base64.
const TEXT_BYTES: usize = CAPABILITY_BYTES.div_ceil(3) * 4;

/// How many bytes may come that belong to no greeting.
const MAX_OTHER_BYTES: usize = 1 << 20;

/// How much of them is kept to be shown.
const SHOWN_BYTES: usize = 400;

/// Reads a child's greeting from its output, in any portions.
#[derive(Debug, Default)]
pub struct Greeting {
    state: State,
    other: Vec<u8>,
    other_bytes: usize,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the preamble have come.
    Preamble(usize),
    /// The capability's text so far.
    Capability(Vec<u8>),
    /// So many bytes of the mode's mark have come.
    Mode(Capability, usize),
}

/// What came is no greeting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// Something else.
    #[error("it printed {bytes} bytes that are no greeting of the remoting library: {shown}")]
    Other {
        /// How many bytes.
        bytes: usize,
        /// Some of them.
        shown: String,
    },
    /// A capability that cannot be read, or lacks something.
    #[error("its remoting library does not fit: {0}")]
    Capability(#[from] CapabilityError),
}

impl Default for State {
    fn default() -> Self {
        Self::Preamble(0)
    }
}

impl Greeting {
    /// The greeting of this side. The child then behaves as towards a peer with this capability.
    #[must_use]
    pub fn ours(capability: Capability) -> Bytes {
        let mut bytes = BytesMut::from(PREAMBLE);
        bytes.extend_from_slice(capability.to_base64().as_bytes());
        bytes.extend_from_slice(&BINARY);
        bytes.freeze()
    }

    /// Takes bytes up to the end of the greeting; what follows in `bytes` are commands. Nothing while
    /// more must come.
    ///
    /// # Errors
    /// When too much comes that is no greeting, or a capability that does not do.
    pub fn read(&mut self, bytes: &mut Bytes) -> Result<Option<Capability>, GreetingError> {
        while bytes.has_remaining() {
            let byte = bytes.get_u8();
            match &mut self.state {
                State::Preamble(matched) => {
                    if PREAMBLE.get(*matched) == Some(&byte) {
                        *matched += 1;
                        if *matched == PREAMBLE.len() {
                            self.state = State::Capability(Vec::with_capacity(TEXT_BYTES));
                        }
                    } else {
                        // The preamble's first byte stands nowhere else in it.
                        let cut = std::mem::take(matched);
                        let again = PREAMBLE.first() == Some(&byte);
                        *matched = usize::from(again);
                        let kept = if again { &[][..] } else { std::slice::from_ref(&byte) };
                        self.skip(PREAMBLE.get(..cut).unwrap_or_default())?;
                        self.skip(kept)?;
                    }
                }
                State::Capability(text) => {
                    text.push(byte);
                    if text.len() == TEXT_BYTES {
                        let capability = Capability::from_base64(&String::from_utf8_lossy(text))?;
                        capability.require(Capability::CURRENT)?;
                        self.state = State::Mode(capability, 0);
                    }
                }
                State::Mode(capability, matched) => {
                    if byte == 0 {
                        *matched += 1;
                        if *matched == BINARY.len() {
                            return Ok(Some(*capability));
                        }
                    } else {
                        *matched = 0;
                        self.skip(&[byte])?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// What came that belongs to no greeting, or its beginning.
    #[must_use]
    pub fn other(&self) -> String {
        String::from_utf8_lossy(&self.other).trim().to_owned()
    }

    fn skip(&mut self, other: &[u8]) -> Result<(), GreetingError> {
        self.other_bytes += other.len();
        let room = SHOWN_BYTES.saturating_sub(self.other.len());
        self.other.extend(other.iter().take(room));
        if self.other_bytes > MAX_OTHER_BYTES {
            return Err(GreetingError::Other { bytes: self.other_bytes, shown: self.other() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Option<Capability>, Vec<u8>, String), GreetingError> {
        let mut greeting = Greeting::default();
        let mut pieces = bytes.chunks(piece);
        for part in pieces.by_ref() {
            let mut part = Bytes::copy_from_slice(part);
            if let Some(capability) = greeting.read(&mut part)? {
                let mut rest = part.to_vec();
                rest.extend(pieces.flatten());
                return Ok((Some(capability), rest, greeting.other()));
            }
            assert!(part.is_empty());
        }
        Ok((None, Vec::new(), greeting.other()))
    }

    #[test]
    fn a_greeting_is_found_after_whatever_came_before_in_any_pieces() {
        let ours = Greeting::ours(Capability::from_mask(0x3FE));
        assert_eq!(ours.len(), PREAMBLE.len() + 84 + 4);
        for noise in
            [&b""[..], b"Picked up JAVA_TOOL_OPTIONS\n", b"<===[JENKINS REM", b"<<==<", b"\0\0\0\0"]
        {
            let bytes = [noise, &ours, b"\x00\x01x"].concat();
            for piece in 1..=bytes.len() {
                let (capability, rest, other) = read(&bytes, piece).unwrap();
                assert_eq!(capability, Some(Capability::from_mask(0x3FE)));
                assert_eq!(rest, b"\x00\x01x");
                assert_eq!(other.as_bytes(), String::from_utf8_lossy(noise).trim().as_bytes());
            }
        }
    }

    #[test]
    fn what_is_no_greeting_is_refused_or_waited_for() {
        let ours = Greeting::ours(Capability::CURRENT);
        for end in 0..ours.len() {
            assert_eq!(read(&ours[..end], 7).unwrap().0, None);
        }
        let lacking = Greeting::ours(Capability::from_mask(0x7E));
        assert!(matches!(
            read(&lacking, 100),
            Err(GreetingError::Capability(CapabilityError::Missing { mask: 0x7E, .. }))
        ));
        let broken = [PREAMBLE, &[b'!'; TEXT_BYTES]].concat();
        assert!(matches!(read(&broken, 5), Err(GreetingError::Capability(_))));
        let endless = vec![b'<'; MAX_OTHER_BYTES + 2];
        let Err(GreetingError::Other { shown, .. }) = read(&endless, 4096) else { panic!() };
        assert_eq!(shown.len(), SHOWN_BYTES);
    }
}
