//! `hudson.remoting.Capability`: what each side promises to understand, exchanged before the first command.
//!
//! On the wire it is a Java serialisation stream of 62 fixed bytes around one `long`. The text form is its
//! base64 (standard alphabet, padded), 84 characters. Only that one shape is read; nothing else may be in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Stream header, class descriptor (`serialVersionUID` 1, one field `long mask`) and the end of the descriptor,
/// up to the value of the mask.
const PREFIX: &[u8; 54] =
    b"\xac\xed\x00\x05sr\x00\x1ahudson.remoting.Capability\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x01J\x00\x04maskxp";

/// Length of the stream form in bytes.
pub const CAPABILITY_BYTES: usize = PREFIX.len() + 8;

/// Every bit with its name in `hudson.remoting.Capability`.
const BITS: [(u64, &str); 8] = [
    (0x002, "MULTI_CLASSLOADER"),
    (0x004, "PIPE_THROTTLING"),
    (0x008, "MIMIC_EXCEPTION"),
    (0x010, "PREFETCH"),
    (0x020, "GREEDY_REMOTE_INPUTSTREAM"),
    (0x040, "PROXY_WRITER_2_35"),
    (0x080, "CHUNKED_ENCODING"),
    (0x100, "PROXY_EXCEPTION_FALLBACK"),
];

/// A capability mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capability(u64);

/// A capability that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// The text is not base64.
    #[error(
        "the controller's capability header is not base64; something between agent and controller changed it"
    )]
    NotBase64,
    /// The bytes are not a serialised `hudson.remoting.Capability`.
    #[error(
        "the controller's capability is not a serialised hudson.remoting.Capability \
         ({length} bytes; expected exactly {CAPABILITY_BYTES})"
    )]
    NotACapability {
        /// Length of what came, in bytes.
        length: usize,
    },
    /// The peer lacks something this agent needs.
    #[error("the controller is too old: it lacks {} (mask {mask:#x}); use Jenkins 2.361 or later", .missing.join(", "))]
    Missing {
        /// The peer's mask.
        mask: u64,
        /// Names of the missing bits, as in `hudson.remoting.Capability`.
        missing: Vec<&'static str>,
    },
}

impl Default for Capability {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl Capability {
    /// What this implementation offers and requires: bits 1 to 8, as every current agent and controller.
    pub const CURRENT: Self = Self(0x1FE);

    /// A capability with this mask.
    #[must_use]
    pub const fn from_mask(mask: u64) -> Self {
        Self(mask)
    }

    /// The mask.
    #[must_use]
    pub const fn mask(self) -> u64 {
        self.0
    }

    /// The serialised object.
    #[must_use]
    pub fn to_bytes(self) -> [u8; CAPABILITY_BYTES] {
        let mut bytes = [0; CAPABILITY_BYTES];
        let (prefix, mask) = bytes.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        mask.copy_from_slice(&self.0.to_be_bytes());
        bytes
    }

    /// The serialised object in base64, as it stands in the header `X-Remoting-Capability`.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.to_bytes())
    }

    /// Reads the serialised object.
    ///
    /// # Errors
    /// Anything but exactly one `hudson.remoting.Capability` with its field `mask`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CapabilityError> {
        bytes
            .strip_prefix(PREFIX)
            .and_then(|mask| <[u8; 8]>::try_from(mask).ok())
            .map(|mask| Self(u64::from_be_bytes(mask)))
            .ok_or(CapabilityError::NotACapability { length: bytes.len() })
    }

    /// Reads the base64 form; white space around it is ignored.
    ///
    /// # Errors
    /// Text that is not base64, or another object.
    pub fn from_base64(text: &str) -> Result<Self, CapabilityError> {
        let text = text.trim();
        // Bounded before decoding: the text comes from a peer.
        if text.len() > 4 * CAPABILITY_BYTES {
            return Err(CapabilityError::NotACapability { length: text.len() / 4 * 3 });
        }
        Self::from_bytes(&STANDARD.decode(text).map_err(|_| CapabilityError::NotBase64)?)
    }

    /// Checks that the peer offers every bit this implementation relies on.
    ///
    /// # Errors
    /// [`CapabilityError::Missing`] with the names of the bits.
    pub fn require(self, required: Self) -> Result<(), CapabilityError> {
        let lacking = required.0 & !self.0;
        if lacking == 0 {
            return Ok(());
        }
        let mut missing: Vec<_> =
            BITS.iter().filter(|(bit, _)| lacking & bit != 0).map(|(_, name)| *name).collect();
        if missing.is_empty() {
            missing.push("an unnamed capability");
        }
        Err(CapabilityError::Missing { mask: self.0, missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICIAL: &str =
        "rO0ABXNyABpodWRzb24ucmVtb3RpbmcuQ2FwYWJpbGl0eQAAAAAAAAABAgABSgAEbWFza3hwAAAAAAAAAf4=";

    #[test]
    fn text_is_what_the_java_agent_sends() {
        assert_eq!(Capability::CURRENT.to_base64(), OFFICIAL);
        assert_eq!(Capability::from_base64(OFFICIAL), Ok(Capability::CURRENT));
        assert_eq!(Capability::CURRENT.to_bytes().len(), 62);
    }

    #[test]
    fn other_objects_are_refused() {
        let good = Capability::CURRENT.to_bytes();
        for length in 0..good.len() {
            assert!(Capability::from_bytes(&good[..length]).is_err());
        }
        for index in 0..PREFIX.len() {
            let mut bad = good;
            bad[index] ^= 1;
            assert!(Capability::from_bytes(&bad).is_err(), "byte {index}");
        }
        let longer = [&good[..], &[0x70]].concat();
        assert_eq!(
            Capability::from_bytes(&longer),
            Err(CapabilityError::NotACapability { length: 63 })
        );
        assert_eq!(Capability::from_base64("!"), Err(CapabilityError::NotBase64));
        assert!(Capability::from_base64(&"A".repeat(1 << 20)).is_err());
    }

    #[test]
    fn missing_bits_are_named() {
        let old = Capability::from_mask(0x07E);
        let error = old.require(Capability::CURRENT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the controller is too old: it lacks CHUNKED_ENCODING, PROXY_EXCEPTION_FALLBACK (mask 0x7e); \
             use Jenkins 2.361 or later"
        );
        assert_eq!(Capability::from_mask(0x3FE).require(Capability::CURRENT), Ok(()));
    }
}
