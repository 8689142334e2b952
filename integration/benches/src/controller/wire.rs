//! Commands that streams are made of, made and recognised without a graph.

use bytes::{Bytes, BytesMut};
use java_object_stream::{Class, EncodeError, Field, Object, Plain, encode};

static COMMAND: Class = Class::new("hudson.remoting.Command", 1)
    .fields(&[Field::reference("createdAt", "Ljava/lang/Exception;")]);
static CHUNK: Class = Class::new("hudson.remoting.ProxyOutputStream$Chunk", 1)
    .fields(&[
        Field::int("ioId"),
        Field::int("oid"),
        Field::int("requestId"),
        Field::reference("buf", "[B"),
    ])
    .extends(&COMMAND);
static ACK: Class = Class::new("hudson.remoting.ProxyOutputStream$Ack", 1)
    .fields(&[Field::int("oid"), Field::int("size")])
    .extends(&COMMAND);
static EOF: Class = Class::new("hudson.remoting.ProxyOutputStream$EOF", 1)
    .fields(&[
        Field::int("ioId"),
        Field::int("oid"),
        Field::int("requestId"),
        Field::reference("error", "Ljava/lang/Throwable;"),
    ])
    .extends(&COMMAND);
static INPUT_EOF: Class = Class::new("hudson.remoting.ProxyInputStream$EOF", 1)
    .fields(&[Field::int("oid")])
    .extends(&COMMAND);
static UNEXPORT: Class =
    Class::new("hudson.remoting.UnexportCommand", 1).fields(&[Field::int("oid")]).extends(&COMMAND);
static RESPONSE: Class = Class::new("hudson.remoting.Response", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("exception", "Ljava/lang/Throwable;"),
        Field::reference("returnValue", "Ljava/io/Serializable;"),
    ])
    .extends(&COMMAND);
static NORMAL_RESPONSE: Class = Class::new("hudson.remoting.UserRequest$NormalResponse", 1)
    .fields(&[Field::reference("response", "[B")]);

/// An encoded command with places for integers.
#[derive(Debug, Clone)]
struct Form {
    bytes: Vec<u8>,
    places: [usize; 2],
}

/// The forms of the commands that go by the thousand.
#[derive(Debug, Clone)]
pub struct Forms {
    /// Places of `ioId` and `oid`.
    chunk: Form,
    /// Places of `oid` and `size`.
    ack: Form,
}

/// An acknowledgement or data, by the sender's or receiver's oid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// So many bytes of data.
    Data {
        /// The receiver's stream.
        oid: i32,
        /// How many.
        size: usize,
    },
    /// So many bytes were taken.
    Ack {
        /// How many.
        size: usize,
    },
}

const FIRST: i32 = 0x5AA5_0101;
const SECOND: i32 = 0x5AA5_0202;

impl Form {
    fn new(object: Object) -> Result<Self, EncodeError> {
        let bytes = encode(&object.into(), &mut Plain)?;
        let place = |number: i32| {
            let number = number.to_be_bytes();
            bytes.windows(4).position(|window| window == number).unwrap_or(0)
        };
        let places = [place(FIRST), place(SECOND)];
        Ok(Self { bytes, places })
    }

    fn filled(&self, first: i32, second: i32, room: usize) -> BytesMut {
        let mut out = BytesMut::with_capacity(self.bytes.len() + room);
        out.extend_from_slice(&self.bytes);
        for (place, number) in self.places.iter().zip([first, second]) {
            if let Some(slot) = out.get_mut(*place..place + 4) {
                slot.copy_from_slice(&number.to_be_bytes());
            }
        }
        out
    }

    /// Everything before the first integer says which class it is.
    fn is(&self, command: &[u8]) -> bool {
        command.get(..self.places[0]) == self.bytes.get(..self.places[0])
    }
}

/// The integer at a place of a command.
pub fn int_at(command: &[u8], place: usize) -> Option<i32> {
    command.get(place..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

impl Forms {
    /// Encodes each command once.
    pub fn new() -> Result<Self, EncodeError> {
        let chunk = Object::new(&CHUNK)
            .with("ioId", FIRST)
            .with("oid", SECOND)
            .with("buf", Vec::<u8>::new());
        let ack = Object::new(&ACK).with("oid", FIRST).with("size", SECOND);
        Ok(Self { chunk: Form::new(chunk)?, ack: Form::new(ack)? })
    }

    /// Data for the agent's stream `oid`.
    pub fn chunk(&self, io: i32, oid: i32, data: &[u8]) -> Bytes {
        let mut out = self.chunk.filled(io, oid, data.len());
        // The length of the array stands at the end of the form, which holds an empty one.
        out.truncate(out.len() - 4);
        out.extend_from_slice(&i32::try_from(data.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(data);
        out.freeze()
    }

    /// Says that `size` bytes were taken from the controller's stream `oid`.
    pub fn ack(&self, oid: i32, size: usize) -> Bytes {
        self.ack.filled(oid, i32::try_from(size).unwrap_or(0), 0).freeze()
    }

    /// What a command is if it belongs to a byte stream.
    pub fn streaming(&self, command: &[u8]) -> Option<Streaming> {
        if self.chunk.is(command) {
            let size = command.len().checked_sub(self.chunk.bytes.len())?;
            return Some(Streaming::Data { oid: int_at(command, self.chunk.places[1])?, size });
        }
        if self.ack.is(command) {
            let size = usize::try_from(int_at(command, self.ack.places[1])?).ok()?;
            return Some(Streaming::Ack { size });
        }
        None
    }
}

/// Ends the agent's stream `oid`.
pub fn eof(io: i32, oid: i32) -> Result<Vec<u8>, EncodeError> {
    encode(&Object::new(&EOF).with("ioId", io).with("oid", oid).into(), &mut Plain)
}

/// Says that the agent's stream `oid` is no longer read.
pub fn input_eof(oid: i32) -> Result<Vec<u8>, EncodeError> {
    encode(&Object::new(&INPUT_EOF).with("oid", oid).into(), &mut Plain)
}

/// Gives the agent's object `oid` back.
pub fn unexport(oid: i32) -> Result<Vec<u8>, EncodeError> {
    encode(&Object::new(&UNEXPORT).with("oid", oid).into(), &mut Plain)
}

/// Answers a request of the agent, a ping for example, with null.
pub fn null_response(id: i32) -> Result<Vec<u8>, EncodeError> {
    let null = encode(&java_object_stream::Datum::Null, &mut Plain)?;
    let value = Object::new(&NORMAL_RESPONSE).with("response", null);
    encode(&Object::new(&RESPONSE).with("id", id).with("returnValue", value).into(), &mut Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jenkins_remoting::command::{Command, Outcome};

    #[test]
    fn what_is_made_is_what_the_library_reads() {
        let forms = Forms::new().unwrap();
        let chunk = forms.chunk(3, 9, b"data");
        let read = Command::decode(&chunk).unwrap();
        assert_eq!(read, Command::Chunk { io: 3, oid: 9, data: Bytes::from_static(b"data") });
        assert_eq!(forms.streaming(&chunk), Some(Streaming::Data { oid: 9, size: 4 }));
        let ack = forms.ack(9, 77);
        assert_eq!(Command::decode(&ack).unwrap(), Command::Ack { oid: 9, size: 77 });
        assert_eq!(forms.streaming(&ack), Some(Streaming::Ack { size: 77 }));
        let end = Bytes::from(eof(4, 9).unwrap());
        assert_eq!(Command::decode(&end).unwrap(), Command::Eof { io: 4, oid: 9, error: None });
        assert_eq!(forms.streaming(&end), None);
        let answer = Bytes::from(null_response(5).unwrap());
        let Command::Response { id: 5, outcome: Outcome::Value(_), .. } =
            Command::decode(&answer).unwrap()
        else {
            panic!("not the response to request 5");
        };
    }
}
