//! What is said inside TLS before the channel, without any socket: headers, verdicts, capabilities.
//!
//! All of it is records of a big-endian `u16` length and as many bytes. Both sides send their headers at once,
//! then each its verdict on the other's, then each its capability; what follows are chunks
//! (`ConnectionHeadersFilterLayer`, `ChannelApplicationLayer`).

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use super::headers::{COOKIE, ConnectionHeaders, HeadersError};
use crate::capability::{Capability, CapabilityError};
use crate::transport::html;
use crate::transport::secret::Cookie;

/// Says that the headers are accepted.
const ACCEPTED: &str = "OK";
/// Confirms a refusal, after which both sides close.
const ABORT: &str = "BYE";
/// How many characters of an answer that makes no sense are shown.
const SHOWN_CHARS: usize = 100;

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The controller's capability.
    pub capability: Capability,
    /// To be sent with the next connection. If `None`, an older one must be forgotten.
    pub cookie: Option<Cookie>,
    /// What came behind it: the beginning of the stream of chunks.
    pub rest: Bytes,
}

/// Why there was no agreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The controller does not take this agent.
    #[error("the controller refused the connection: {reason}{}", advice(.reason))]
    Refused {
        /// Its words, one line.
        reason: String,
        /// It says that trying again will not help.
        permanent: bool,
    },
    /// The controller's headers are no JSON object of strings.
    #[error("the controller's connection headers cannot be read: {0}")]
    Headers(#[from] HeadersError),
    /// Something else than a verdict.
    #[error(
        "the controller answered {answer:?} where OK, ERROR or FATAL should come; it does not speak JNLP4"
    )]
    Verdict {
        /// What came, one line.
        answer: String,
    },
    /// The controller's capability is unusable.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The agent's own headers do not fit into a record.
    #[error(
        "the node's name is too long to be sent: {length} bytes of headers, the limit is 65535"
    )]
    TooLong {
        /// Length of the headers in bytes.
        length: usize,
    },
}

/// What to do about the usual refusals (`JnlpProtocol4Handler`, `DefaultJnlpSlaveReceiver`).
fn advice(reason: &str) -> &'static str {
    if reason.contains("Authorization failure") {
        "; the secret is not that of this node: copy it again from the node's page"
    } else if reason.contains("Unknown client name") {
        "; check -name, and that the node still exists"
    } else if reason.contains("already connected") {
        "; if no other agent runs under this name, the old connection will end soon"
    } else if reason.contains("is not an inbound agent") {
        "; set the node's launch method to \"connecting to the controller\""
    } else {
        ""
    }
}

/// An agent's side of the exchange. Bytes go in with [`Negotiation::feed`] and come out of
/// [`Negotiation::take_output`].
///
/// Memory held is at most the bytes fed and not yet read; a record cannot be longer than 65,535 bytes.
pub struct Negotiation {
    input: BytesMut,
    output: BytesMut,
    step: Step,
    cookie: Option<Cookie>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Headers,
    Verdict,
    Capability,
}

impl Negotiation {
    /// Begins with these headers; they are the first output.
    ///
    /// # Errors
    /// Headers that do not fit into a record.
    pub fn new(headers: &ConnectionHeaders) -> Result<Self, NegotiationError> {
        let text = headers.encode();
        let mut this = Self {
            input: BytesMut::new(),
            output: BytesMut::with_capacity(text.len() + 128),
            step: Step::Headers,
            cookie: None,
        };
        let length = text.len();
        let prefix = u16::try_from(length).map_err(|_| NegotiationError::TooLong { length })?;
        this.output.put_u16(prefix);
        this.output.put_slice(text.as_bytes());
        Ok(this)
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// What is to be sent, possibly nothing. To be sent after an error too: it tells the controller.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// What is being waited for, for messages.
    #[must_use]
    pub fn waits_for(&self) -> &'static str {
        match self.step {
            Step::Headers => "the connection headers",
            Step::Verdict => "the verdict on the agent",
            Step::Capability => "the capability",
        }
    }

    /// Reads as far as the input goes; `None` when more is needed.
    ///
    /// # Errors
    /// A refusal, or input that is no JNLP4. It cannot go on after that.
    pub fn advance(&mut self) -> Result<Option<Negotiated>, NegotiationError> {
        while let Some(record) = self.next_record() {
            match self.step {
                Step::Headers => {
                    let headers = match ConnectionHeaders::decode(&String::from_utf8_lossy(&record))
                    {
                        Ok(headers) => headers,
                        Err(error) => {
                            self.send("ERROR: Malformed connection header");
                            return Err(error.into());
                        }
                    };
                    self.cookie = headers.get(COOKIE).and_then(Cookie::parse);
                    self.send(ACCEPTED);
                    self.step = Step::Verdict;
                }
                Step::Verdict => {
                    self.check_verdict(&String::from_utf8_lossy(&record))?;
                    self.send(&Capability::CURRENT.to_base64());
                    self.step = Step::Capability;
                }
                Step::Capability => {
                    let capability = Capability::from_base64(&String::from_utf8_lossy(&record))?;
                    capability.require(Capability::CURRENT)?;
                    let rest = self.input.split().freeze();
                    return Ok(Some(Negotiated { capability, cookie: self.cookie.take(), rest }));
                }
            }
        }
        Ok(None)
    }

    fn check_verdict(&mut self, verdict: &str) -> Result<(), NegotiationError> {
        let refused = |reason: &str, permanent| {
            let reason = html::one_line(reason).unwrap_or_else(|| "no reason given".to_owned());
            NegotiationError::Refused { reason, permanent }
        };
        let error = if let Some(reason) = verdict.strip_prefix("ERROR: ") {
            refused(reason, false)
        } else if let Some(reason) = verdict.strip_prefix("FATAL: ") {
            refused(reason, true)
        } else if verdict == ACCEPTED {
            return Ok(());
        } else {
            let answer = html::one_line(verdict).unwrap_or_default();
            return Err(NegotiationError::Verdict {
                answer: answer.chars().take(SHOWN_CHARS).collect(),
            });
        };
        self.send(ABORT);
        Err(error)
    }

    fn next_record(&mut self) -> Option<BytesMut> {
        let length = usize::from(u16::from_be_bytes(*self.input.first_chunk()?));
        if self.input.len() - 2 < length {
            return None;
        }
        self.input.advance(2);
        Some(self.input.split_to(length))
    }

    /// Queues a record of a short text of this module.
    fn send(&mut self, text: &str) {
        self.output.put_u16(u16::try_from(text.len()).unwrap_or(0));
        self.output.put_slice(text.as_bytes());
    }
}

impl std::fmt::Debug for Negotiation {
    /// Without the bytes: they hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Negotiation")
            .field("step", &self.step)
            .field("input_bytes", &self.input.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPABILITY: &str =
        "rO0ABXNyABpodWRzb24ucmVtb3RpbmcuQ2FwYWJpbGl0eQAAAAAAAAABAgABSgAEbWFza3hwAAAAAAAAAf4=";

    fn started() -> Negotiation {
        let mut headers = ConnectionHeaders::default();
        headers.insert("Node-Name", "n");
        let mut negotiation = Negotiation::new(&headers).unwrap();
        assert_eq!(&negotiation.take_output()[..], b"\x00\x11{\"Node-Name\":\"n\"}");
        negotiation
    }

    fn record(text: &str) -> Vec<u8> {
        [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn accepting() -> Vec<u8> {
        let records = [r#"{"JnlpAgentProtocol.cookie":"c0ffee"}"#, "OK", CAPABILITY];
        [records.map(record).concat(), vec![0, 3, 1, 2, 3]].concat()
    }

    #[test]
    fn each_answer_follows_what_it_answers() {
        let mut negotiation = started();
        negotiation.feed(&record("{}"));
        assert_eq!(negotiation.advance(), Ok(None));
        assert_eq!(negotiation.take_output(), record("OK"));
        assert_eq!(negotiation.waits_for(), "the verdict on the agent");
        negotiation.feed(&record("OK"));
        assert_eq!(negotiation.advance(), Ok(None));
        assert_eq!(negotiation.take_output(), record(CAPABILITY));
        negotiation.feed(&record(CAPABILITY));
        let negotiated = negotiation.advance().unwrap().unwrap();
        assert_eq!((negotiated.cookie, negotiated.rest.len()), (None, 0));
    }

    #[test]
    fn refusals_are_confirmed() {
        for (verdict, reason, permanent) in [
            ("ERROR: Unknown client name: n", "Unknown client name: n", false),
            ("FATAL: a\r\nb\u{7}", "a b", true),
            ("ERROR: ", "no reason given", false),
        ] {
            let mut negotiation = started();
            negotiation.feed(&[record("{}"), record(verdict)].concat());
            let expected = NegotiationError::Refused { reason: reason.to_owned(), permanent };
            assert_eq!(negotiation.advance(), Err(expected));
            assert_eq!(negotiation.take_output(), [record("OK"), record("BYE")].concat());
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let mut negotiation = started();
        negotiation.feed(&record("<html>"));
        assert!(matches!(negotiation.advance(), Err(NegotiationError::Headers(_))));
        assert_eq!(negotiation.take_output(), record("ERROR: Malformed connection header"));
        let mut negotiation = started();
        negotiation.feed(&[record("{}"), record("okay")].concat());
        let answer = "okay".to_owned();
        assert_eq!(negotiation.advance(), Err(NegotiationError::Verdict { answer }));
        let mut negotiation = started();
        negotiation.feed(&[record("{}"), record("OK"), record("AAAA")].concat());
        assert!(matches!(negotiation.advance(), Err(NegotiationError::Capability(_))));
        let mut headers = ConnectionHeaders::default();
        headers.insert("Node-Name", &"n".repeat(70_000));
        assert!(matches!(Negotiation::new(&headers), Err(NegotiationError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn cuts_mean_nothing(cuts in proptest::collection::vec(1_usize..40, 1..20)) {
            let bytes = accepting();
            let mut negotiation = started();
            let (mut at, mut rest, mut negotiated) = (0, Vec::new(), None);
            for cut in cuts.iter().cycle() {
                let piece = &bytes[at..bytes.len().min(at + cut)];
                at += piece.len();
                if negotiated.is_some() {
                    rest.extend_from_slice(piece);
                } else {
                    negotiation.feed(piece);
                    negotiated = negotiation.advance().unwrap();
                }
                if at == bytes.len() {
                    break;
                }
            }
            let negotiated = negotiated.unwrap();
            prop_assert_eq!(negotiated.cookie, Cookie::parse("c0ffee"));
            prop_assert_eq!([&negotiated.rest[..], &rest].concat(), [0, 3, 1, 2, 3]);
        }
    }
}
