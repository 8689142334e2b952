//! Commands to send: recorded ones of a real controller, and such as no controller would send.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use java_object_stream::{Class, Datum, Field, Object, Plain, encode};

static COMMAND: Class = Class::new("hudson.remoting.Command", 1)
    .fields(&[Field::reference("createdAt", "Ljava/lang/Exception;")]);
static REQUEST: Class = Class::new("hudson.remoting.Request", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("response", "Lhudson/remoting/Response;"),
    ])
    .extends(&COMMAND);
static RPC_REQUEST: Class = Class::new("hudson.remoting.RemoteInvocationHandler$RPCRequest", 1)
    .fields(&[
        Field::int("oid"),
        Field::reference("arguments", "[Ljava/lang/Object;"),
        Field::string("methodName"),
        Field::reference("types", "[Ljava/lang/String;"),
    ])
    .extends(&REQUEST);
static USER_REQUEST: Class = Class::new("hudson.remoting.UserRequest", 1)
    .fields(&[
        Field::reference("classLoaderProxy", "Lhudson/remoting/RemoteClassLoader$IClassLoader;"),
        Field::reference("request", "[B"),
        Field::string("toString"),
    ])
    .extends(&REQUEST);
/// A `UserRequest` whose payload is declared as a text.
static ODD_USER_REQUEST: Class = Class::new("hudson.remoting.UserRequest", 1)
    .fields(&[Field::string("request"), Field::string("toString")])
    .extends(&REQUEST);
/// An `UnexportCommand` whose object id is declared as a text.
static ODD_UNEXPORT: Class = Class::new("hudson.remoting.UnexportCommand", 1)
    .fields(&[Field::string("oid")])
    .extends(&COMMAND);
static UNEXPORT: Class =
    Class::new("hudson.remoting.UnexportCommand", 1).fields(&[Field::int("oid")]).extends(&COMMAND);
static CHUNK: Class = Class::new("hudson.remoting.ProxyOutputStream$Chunk", 1)
    .fields(&[
        Field::int("ioId"),
        Field::int("oid"),
        Field::int("requestId"),
        Field::reference("buf", "[B"),
    ])
    .extends(&COMMAND);
static INPUT_CHUNK: Class = Class::new("hudson.remoting.ProxyInputStream$Chunk", 1)
    .fields(&[Field::int("len"), Field::int("oid")])
    .extends(&REQUEST);
static CANCEL: Class = Class::new("hudson.remoting.Request$Cancel", -1_709_992_419_006_993_208)
    .fields(&[Field::int("id")])
    .extends(&COMMAND);
static ACK: Class = Class::new("hudson.remoting.ProxyOutputStream$Ack", 1)
    .fields(&[Field::int("oid"), Field::int("size")])
    .extends(&COMMAND);
static RESPONSE: Class = Class::new("hudson.remoting.Response", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("exception", "Ljava/lang/Throwable;"),
        Field::reference("returnValue", "Ljava/io/Serializable;"),
    ])
    .extends(&COMMAND);
static FUTURE_COMMAND: Class =
    Class::new("hudson.remoting.FutureCommand", 1).fields(&[Field::int("x")]).extends(&COMMAND);
static FUTURE_REQUEST: Class =
    Class::new("hudson.remoting.FutureRequest", 1).fields(&[Field::int("x")]).extends(&REQUEST);

fn stream(object: Object) -> Vec<u8> {
    encode(&Datum::from(object), &mut Plain).unwrap()
}

/// A command of the recorded connect, by its number.
pub fn recorded(number: u64) -> Vec<u8> {
    let path = "../integration/recordings/01-connect.jsonl.gz";
    let file = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    for line in lines.map(Result::unwrap) {
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
        if entry["n"] == number {
            assert_eq!(entry["from"], "controller");
            return STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap();
        }
    }
    panic!("{path} has no command {number}");
}

pub fn unknown_command() -> Vec<u8> {
    stream(Object::new(&FUTURE_COMMAND).with("x", 1))
}

pub fn unknown_request(id: i32) -> Vec<u8> {
    stream(Object::new(&FUTURE_REQUEST).with("id", id).with("x", 1))
}

pub fn user_request(id: i32, payload: &[u8]) -> Vec<u8> {
    stream(Object::new(&USER_REQUEST).with("id", id).with("request", payload.to_vec()))
}

/// A request that is to run after an I/O.
pub fn request_after(id: i32, last_io: i32) -> Vec<u8> {
    let request = Object::new(&USER_REQUEST).with("id", id).with("lastIoId", last_io);
    stream(request.with("request", Vec::<u8>::new()))
}

pub fn odd_user_request(id: i32) -> Vec<u8> {
    stream(Object::new(&ODD_USER_REQUEST).with("id", id).with("request", "not bytes"))
}

pub fn odd_unexport() -> Vec<u8> {
    stream(Object::new(&ODD_UNEXPORT).with("oid", "not a number"))
}

pub fn method_call(id: i32, oid: i32) -> Vec<u8> {
    stream(Object::new(&RPC_REQUEST).with("id", id).with("oid", oid).with("methodName", "run"))
}

pub fn read(id: i32, oid: i32) -> Vec<u8> {
    stream(Object::new(&INPUT_CHUNK).with("id", id).with("oid", oid).with("len", i32::MAX))
}

pub fn unexport(oid: i32) -> Vec<u8> {
    stream(Object::new(&UNEXPORT).with("oid", oid))
}

pub fn chunk(io: i32, oid: i32) -> Vec<u8> {
    stream(Object::new(&CHUNK).with("ioId", io).with("oid", oid).with("buf", vec![7_u8; 100]))
}

pub fn cancel(id: i32) -> Vec<u8> {
    stream(Object::new(&CANCEL).with("id", id))
}

pub fn acknowledgement(oid: i32, size: i32) -> Vec<u8> {
    stream(Object::new(&ACK).with("oid", oid).with("size", size))
}

pub fn response(id: i32) -> Vec<u8> {
    stream(Object::new(&RESPONSE).with("id", id))
}

/// Objects nested in each other, so many deep.
pub fn nested(depth: usize) -> Vec<u8> {
    let mut bytes =
        b"\xac\xed\0\x05sr\0\x01D\0\0\0\0\0\0\0\x01\x02\0\x01L\0\x01nt\0\x03LD;xp".to_vec();
    for _ in 1..depth {
        bytes.extend(b"sq\0\x7e\0\0");
    }
    bytes.push(b'p');
    bytes
}

/// An array that claims to have so many bytes, of which none follows.
pub fn empty_array(length: i32) -> Vec<u8> {
    let mut bytes = b"\xac\xed\0\x05ur\0\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\0\0xp".to_vec();
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A text of 4 GiB, of which four bytes follow.
pub fn endless_text() -> Vec<u8> {
    b"\xac\xed\0\x05\x7c\0\0\0\x01\0\0\0\0text".to_vec()
}
