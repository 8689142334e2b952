//! The few commands that the replayer makes itself.

use java_object_stream::{Class, Datum, Field, Object, Plain, encode, jdk};

use crate::error::ReplayError;

static COMMAND: Class = Class::new("hudson.remoting.Command", 1)
    .fields(&[Field::reference("createdAt", "Ljava/lang/Exception;")]);
static ACK: Class = Class::new("hudson.remoting.ProxyOutputStream$Ack", 1)
    .fields(&[Field::int("oid"), Field::int("size")])
    .extends(&COMMAND);

/// The acknowledgement of a chunk.
///
/// # Errors
/// Never for a valid declaration.
pub fn ack(oid: i32, size: i32) -> Result<Vec<u8>, ReplayError> {
    let ack: Datum = Object::new(&ACK).with("oid", oid).with("size", size).into();
    encode(&ack, &mut Plain).map_err(|error| ReplayError::Session(error.to_string()))
}

static RESPONSE: Class = Class::new("hudson.remoting.Response", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("exception", "Ljava/lang/Throwable;"),
        Field::reference("returnValue", "Ljava/io/Serializable;"),
    ])
    .extends(&COMMAND);
static REFLECTIVE: Class =
    Class::new("java.lang.ReflectiveOperationException", 123_456_789).extends(&jdk::EXCEPTION);
static CLASS_NOT_FOUND: Class =
    Class::new("java.lang.ClassNotFoundException", 9_176_873_029_745_254_542)
        .fields(&[Field::reference("ex", "Ljava/lang/Throwable;")])
        .extends(&REFLECTIVE);
/// The answer to a look-up of a class that the controller does not have.
///
/// # Errors
/// Never for a valid declaration.
pub fn class_not_found(id: i32) -> Result<Vec<u8>, ReplayError> {
    let thrown = jdk::throwable(&CLASS_NOT_FOUND, "recordings hold no classes");
    let response: Datum = Object::new(&RESPONSE).with("id", id).with("exception", thrown).into();
    encode(&response, &mut Plain).map_err(|error| ReplayError::Session(error.to_string()))
}
