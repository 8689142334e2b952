//! Writes commands as object streams.

use bytes::{BufMut, Bytes, BytesMut};
use java_object_stream::{Class, Datum, EncodeError, Object, Plain, encode, jdk};

use crate::class;

/// A command to send.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    UserRequest {
        id: i32,
        last_io: i32,
        loader: i32,
        payload: Vec<u8>,
        description: String,
    },
    /// A call on a system export: it travels as a command of its own, and its answer is plain.
    SystemCall {
        id: i32,
        oid: i32,
        method: &'static str,
        argument: String,
    },
    ReadRequest {
        id: i32,
        oid: i32,
        len: i32,
    },
    /// `exception` and `value` are written in the outer stream: JDK and remoting classes only.
    Response {
        id: i32,
        last_io: i32,
        exception: Datum,
        value: Datum,
    },
    Cancel {
        id: i32,
    },
    Unexport {
        oid: i32,
    },
    Chunk {
        io: i32,
        oid: i32,
        request: i32,
        data: Bytes,
    },
    WriterChunk {
        io: i32,
        oid: i32,
        units: Vec<u16>,
    },
    Flush {
        io: i32,
        oid: i32,
        request: i32,
    },
    WriterFlush {
        io: i32,
        oid: i32,
    },
    Eof {
        io: i32,
        oid: i32,
        request: i32,
        error: Datum,
    },
    WriterEof {
        io: i32,
        oid: i32,
    },
    StreamUnexport {
        io: i32,
        oid: i32,
    },
    WriterUnexport {
        io: i32,
        oid: i32,
    },
    InputEof {
        oid: i32,
    },
    Ack {
        oid: i32,
        size: i32,
    },
    WriterAck {
        oid: i32,
        size: i32,
    },
    NotifyDeadWriter {
        oid: i32,
    },
    WriterNotifyDead {
        oid: i32,
    },
    Connect {
        oid_pos: i32,
        oid_ros: i32,
    },
    Close,
}

/// Encodes commands. Those that a stream is made of go out by the thousand and differ in a few
/// integers only, so they are patched into a form encoded once.
#[derive(Debug)]
pub(crate) struct Encoder {
    chunk: Template,
    ack: Template,
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Where the integers stand, in the order of [`SENTINELS`].
    offsets: Vec<usize>,
}

/// Integers that stand nowhere else in the encoded forms.
const SENTINELS: [i32; 4] = [0x5AA5_0101, 0x5AA5_0202, 0x5AA5_0303, 0x5AA5_0404];

impl Encoder {
    pub(crate) fn new() -> Result<Self, EncodeError> {
        let [io, oid, request, _] = SENTINELS;
        let chunk = Object::new(&class::CHUNK)
            .with("ioId", io)
            .with("oid", oid)
            .with("requestId", request)
            .with("buf", Vec::<u8>::new());
        let ack = Object::new(&class::ACK).with("oid", io).with("size", oid);
        Ok(Self { chunk: Template::new(chunk, 3)?, ack: Template::new(ack, 2)? })
    }

    pub(crate) fn encode(&self, command: Outgoing) -> Result<Bytes, EncodeError> {
        use Outgoing as O;
        let object = match command {
            O::Chunk { io, oid, request, data } => return self.chunk(io, oid, request, &data),
            O::Ack { oid, size } => return Ok(self.ack.patched(&[oid, size], 0).freeze()),
            O::UserRequest { id, last_io, loader, payload, description } => {
                Object::new(&class::USER_REQUEST)
                    .with("id", id)
                    .with("lastIoId", last_io)
                    .with(
                        "classLoaderProxy",
                        Object::new(&class::REMOTE_CLASS_LOADER).with("oid", loader),
                    )
                    .with("request", payload)
                    .with("toString", description)
            }
            O::SystemCall { id, oid, method, argument } => Object::new(&class::RPC_REQUEST)
                .with("id", id)
                .with("oid", oid)
                .with("methodName", method)
                .with("types", Datum::Array(&jdk::STRING_ARRAY, vec!["java.lang.String".into()]))
                .with("arguments", Datum::Array(&jdk::OBJECT_ARRAY, vec![argument.into()])),
            O::ReadRequest { id, oid, len } => {
                Object::new(&class::INPUT_CHUNK).with("id", id).with("oid", oid).with("len", len)
            }
            O::Response { id, last_io, exception, value } => Object::new(&class::RESPONSE)
                .with("id", id)
                .with("lastIoId", last_io)
                .with("exception", exception)
                .with("returnValue", value),
            O::Cancel { id } => Object::new(&class::CANCEL).with("id", id),
            O::Unexport { oid } => of_oid(&class::UNEXPORT, oid),
            O::WriterChunk { io, oid, units } => {
                of_io(&class::WRITER_CHUNK, io, oid).with("buf", Datum::Chars(units))
            }
            O::Flush { io, oid, request } => {
                of_io(&class::FLUSH, io, oid).with("requestId", request)
            }
            O::WriterFlush { io, oid } => of_io(&class::WRITER_FLUSH, io, oid),
            O::Eof { io, oid, request, error } => {
                of_io(&class::EOF, io, oid).with("requestId", request).with("error", error)
            }
            O::WriterEof { io, oid } => of_io(&class::WRITER_EOF, io, oid),
            O::StreamUnexport { io, oid } => of_io(&class::STREAM_UNEXPORT, io, oid),
            O::WriterUnexport { io, oid } => of_io(&class::WRITER_UNEXPORT, io, oid),
            O::InputEof { oid } => of_oid(&class::INPUT_EOF, oid),
            O::WriterAck { oid, size } => of_oid(&class::WRITER_ACK, oid).with("size", size),
            O::NotifyDeadWriter { oid } => of_oid(&class::NOTIFY_DEAD_WRITER, oid),
            O::WriterNotifyDead { oid } => of_oid(&class::WRITER_NOTIFY_DEAD, oid),
            O::Connect { oid_pos, oid_ros } => {
                Object::new(&class::CONNECT).with("oidPos", oid_pos).with("oidRos", oid_ros)
            }
            O::Close => Object::new(&class::CLOSE),
        };
        encode(&object.into(), &mut Plain).map(Bytes::from)
    }

    /// Whether a command is a chunk of a stream in the form that both this library and a JVM write.
    pub(crate) fn is_chunk(&self, command: &[u8]) -> bool {
        let fixed = self.chunk.offsets.first().copied().unwrap_or(usize::MAX);
        self.chunk.bytes.get(..fixed).is_some_and(|fixed| command.starts_with(fixed))
    }

    fn chunk(&self, io: i32, oid: i32, request: i32, data: &Bytes) -> Result<Bytes, EncodeError> {
        let length = i32::try_from(data.len()).map_err(|_| EncodeError::TooLong("a chunk"))?;
        let mut out = self.chunk.patched(&[io, oid, request], data.len());
        // The array's length are the last four bytes of the form, which holds an empty array.
        out.truncate(out.len().saturating_sub(4));
        out.put_i32(length);
        out.extend_from_slice(data);
        Ok(out.freeze())
    }
}

impl Template {
    fn new(object: Object, integers: usize) -> Result<Self, EncodeError> {
        let bytes = encode(&object.into(), &mut Plain)?;
        let find = |sentinel: &i32| {
            let sentinel = sentinel.to_be_bytes();
            bytes.windows(4).position(|window| window == sentinel)
        };
        let offsets = SENTINELS.iter().take(integers).filter_map(find).collect();
        Ok(Self { bytes, offsets })
    }

    fn patched(&self, integers: &[i32], room: usize) -> BytesMut {
        let mut out = BytesMut::with_capacity(self.bytes.len() + room);
        out.extend_from_slice(&self.bytes);
        for (offset, integer) in self.offsets.iter().zip(integers) {
            if let Some(slot) = out.get_mut(*offset..offset + 4) {
                slot.copy_from_slice(&integer.to_be_bytes());
            }
        }
        out
    }
}

fn of_oid(class: &'static Class, oid: i32) -> Object {
    Object::new(class).with("oid", oid)
}

fn of_io(class: &'static Class, io: i32, oid: i32) -> Object {
    of_oid(class, oid).with("ioId", io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn a_patched_chunk_is_the_same_bytes_as_an_encoded_one() {
        let encoder = Encoder::new().unwrap();
        for data in [vec![], vec![7], vec![1; 70_000]] {
            let patched = encoder.chunk(0x4000_0001, 5, -1, &Bytes::from(data.clone())).unwrap();
            let object = Object::new(&class::CHUNK)
                .with("ioId", 0x4000_0001)
                .with("oid", 5)
                .with("requestId", -1)
                .with("buf", data);
            assert_eq!(patched, encode(&object.into(), &mut Plain).unwrap());
        }
        let ack = encoder.encode(Outgoing::Ack { oid: 5, size: 5 }).unwrap();
        assert_eq!(ack.len(), 154, "remoting-channel notes: 154 bytes");
        assert_eq!(Command::decode(&ack).unwrap(), Command::Ack { oid: 5, size: 5 });
    }
}
