//! As much of DER as it takes to find the public key in a certificate.

/// Tag of an `INTEGER`.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of a `BIT STRING`.
pub(super) const BIT_STRING: u8 = 0x03;
/// Tag of a `SEQUENCE`.
pub(super) const SEQUENCE: u8 = 0x30;
/// Tag of the version of a certificate (`[0] EXPLICIT`).
const VERSION: u8 = 0xA0;

/// The elements of a byte string, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, if it has this tag.
    pub(super) fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|(content, _)| content)
    }

    /// The next element with its tag and length, if it has this tag.
    pub(super) fn next_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|(_, whole)| whole)
    }

    fn element(&mut self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        let (header, length) = match *self.0 {
            [found, length, ..] if found == tag && length < 0x80 => (2, usize::from(length)),
            [found, 0x81, length, ..] if found == tag => (3, usize::from(length)),
            [found, 0x82, high, low, ..] if found == tag => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            // Nothing that belongs here is longer than 64 KiB.
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(header + length)?;
        self.0 = rest;
        Some((&whole[header..], whole))
    }
}

/// The `SubjectPublicKeyInfo` of an X.509 certificate, with its tag and length (RFC 5280, 4.1).
pub(super) fn public_key_of(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = Der::new(certificate);
    let mut certificate = Der::new(outer.next(SEQUENCE)?);
    let mut signed = Der::new(certificate.next(SEQUENCE)?);
    // Absent in certificates of version 1.
    let _version = signed.next(VERSION);
    let _serial_number = signed.next(INTEGER)?;
    for _ in ["signature", "issuer", "validity", "subject"] {
        signed.next(SEQUENCE)?;
    }
    signed.next_whole(SEQUENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let mut long = vec![SEQUENCE, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        let mut der = Der::new(&long);
        assert_eq!(der.next(SEQUENCE).unwrap().len(), 256);
        assert!(der.is_empty());
        let mut der = Der::new(&[INTEGER, 0x81, 0x01, 9, INTEGER, 0]);
        assert_eq!(der.next_whole(INTEGER), Some(&[INTEGER, 0x81, 1, 9][..]));
        assert_eq!(der.next(INTEGER), Some(&[][..]));
        for bad in [
            &[][..],
            &[2],
            &[2, 1],
            &[2, 0x81],
            &[2, 0x82, 1],
            &[2, 0x80],
            &[2, 0x83, 0, 0, 1, 0],
            &[3, 0],
        ] {
            assert_eq!(Der::new(bad).next(INTEGER), None, "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_cut_anywhere_has_no_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["c".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der();
        assert_eq!(
            public_key_of(der),
            Some(rcgen::PublicKeyData::subject_public_key_info(&key).as_slice())
        );
        for length in 0..der.len() {
            assert_eq!(public_key_of(&der[..length]), None, "{length}");
        }
    }
}
