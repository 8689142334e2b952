//! The requests that set the connection up, kept for a child that starts after them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::command::Command;

/// How many bytes of them are kept: what a controller's plugins send takes some kilobytes.
const MAX_BYTES: usize = 8 << 20;

/// How many are kept.
const MAX_REQUESTS: usize = 1000;

/// How many places in a request are tried for the place of its id.
const MAX_PLACES: usize = 64;

/// The requests in the order in which they came.
#[derive(Default)]
pub(crate) struct SetUp {
    requests: BTreeMap<u64, Request>,
    bytes: usize,
}

/// A request, and what references of the controller's it brings.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) raw: Bytes,
    /// Class loaders, by oid. They are the child's to give back: this side gives none back. But the
    /// controller has counted them once, however many children get the request.
    pub(crate) loaders: Vec<i32>,
    /// Anything else, by oid. This side has it, and gives it back.
    pub(crate) others: Vec<i32>,
}

impl SetUp {
    /// Keeps the request that came as the `number`th. False when there are too many already.
    pub(crate) fn keep(&mut self, number: u64, request: Request) -> bool {
        if self.bytes + request.raw.len() > MAX_BYTES || self.requests.len() >= MAX_REQUESTS {
            return false;
        }
        self.bytes += request.raw.len();
        self.requests.insert(number, request);
        true
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Request> {
        self.requests.values()
    }
}

/// The same request with an id of this side's own, waiting for no I/O. All other bytes stay as they
/// are: what they mean depends on classes that only the child knows.
pub(crate) fn with_id(raw: &Bytes, new_id: i32) -> Option<Bytes> {
    let Ok(Command::UserRequest { id, last_io, loader, payload, description }) =
        Command::decode(raw)
    else {
        return None;
    };
    let wanted = Command::UserRequest { id: new_id, last_io: 0, loader, payload, description };
    // `id` and `lastIoId` follow each other. Where they stand depends on what is before them: the
    // same bytes may stand elsewhere too, so each place is checked by reading the result.
    let mut before = [0; 8];
    let mut after = [0; 8];
    for (bytes, first, second) in [(&mut before, id, last_io), (&mut after, new_id, 0)] {
        bytes[..4].copy_from_slice(&first.to_be_bytes());
        bytes[4..].copy_from_slice(&second.to_be_bytes());
    }
    let places = raw.windows(before.len()).enumerate();
    places
        .filter(|(_, window)| *window == before)
        .take(MAX_PLACES)
        .map(|(place, _)| {
            let mut patched = BytesMut::from(raw.as_ref());
            if let Some(slot) = patched.get_mut(place..place + after.len()) {
                slot.copy_from_slice(&after);
            }
            patched.freeze()
        })
        .find(|patched| Command::decode(patched).as_ref() == Ok(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::recorded;

    #[test]
    fn every_recorded_request_can_be_given_another_id() {
        let mut count = 0;
        for command in
            recorded::ALL.iter().filter(|command| command.class.ends_with(".UserRequest"))
        {
            let patched = with_id(&command.bytes, 0x5000_0001)
                .unwrap_or_else(|| panic!("{} {}", command.file, command.number));
            let differing =
                patched.iter().zip(command.bytes.iter()).filter(|(new, old)| new != old).count();
            assert!(patched.len() == command.bytes.len() && differing <= 8);
            count += 1;
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let request = |bytes| Request {
            raw: Bytes::from(vec![0; bytes]),
            loaders: Vec::new(),
            others: Vec::new(),
        };
        let mut set_up = SetUp::default();
        assert!(!set_up.keep(1, request(MAX_BYTES + 1)));
        let kept = (0..2000).rev().filter(|number| set_up.keep(*number, request(1)));
        assert_eq!(kept.count(), MAX_REQUESTS);
        assert_eq!(set_up.all().count(), MAX_REQUESTS);
        assert!(with_id(&Bytes::from_static(b"nothing of the kind"), 5).is_none());
    }
}
