//! Requests of this side to the child, which the controller does not see.

use bytes::Bytes;
use java_object_stream::{Datum, EncodeError, Object, Plain, encode, jdk};

use crate::class;

/// The first of their ids: above those of this side, and of the controller, whose counter would take a
/// billion calls to get there.
const FIRST_ID: i32 = 0x5000_0000;

/// What such a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Part of the connection's set-up.
    SetUp,
    /// A sign of life.
    Life,
    /// The completion of all I/O up to this entry of the barrier.
    Io(u64),
}

/// The next of these ids after `id`, from `None` at first.
pub(crate) fn next_id(id: Option<i32>) -> i32 {
    match id {
        None | Some(i32::MAX) => FIRST_ID,
        Some(id) => id + 1,
    }
}

/// Asks the child's channel, its export 1, for a property that nobody sets. The answer comes once all
/// I/O up to `last_io` is complete. How the child handles a request does not depend on whether it comes in
/// a command of its own, where no class loader need be named (`RemoteInvocationHandler$RPCRequest`).
pub(crate) fn question(id: i32, last_io: i32) -> Result<Bytes, EncodeError> {
    let types = vec!["java.lang.Object".into()];
    let request = Object::new(&class::RPC_REQUEST)
        .with("id", id)
        .with("lastIoId", last_io)
        .with("oid", 1)
        .with("methodName", "getProperty")
        .with("types", Datum::Array(&jdk::STRING_ARRAY, types))
        .with("arguments", Datum::Array(&jdk::OBJECT_ARRAY, vec!["".into()]));
    encode(&request.into(), &mut Plain).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn a_question_is_a_call_on_the_channel_itself() {
        let bytes = question(FIRST_ID, 9).unwrap();
        let method = "getProperty".to_owned();
        let expected = Command::RpcRequest { id: FIRST_ID, last_io: 9, oid: 1, method };
        assert_eq!(Command::decode(&bytes), Ok(expected));
        assert_eq!([next_id(None), next_id(Some(i32::MAX))], [FIRST_ID; 2]);
        assert_eq!(next_id(Some(FIRST_ID)), FIRST_ID + 1);
    }
}
