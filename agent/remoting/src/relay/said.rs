//! What a command of the child means for this side. It is passed on whatever it means, so no more of it
//! is read than that, and one that cannot be read is passed on too.

use bytes::Bytes;
use java_object_stream::{Graph, Limits, Node, ReadOptions};

use crate::class;
use crate::command::Encoder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// An answer to a request of the controller, or of this side.
    Response(i32),
    /// A request to the controller.
    Request(i32),
    /// A chunk from the controller was taken, by the child's oid.
    Acknowledged(i32),
    /// A stream of the controller was ended or released, a pipe connected or a proxy released, by the
    /// controller's oid.
    GivenBack(i32),
    /// The child closes its channel.
    Close,
    /// Nothing that concerns this side.
    Other,
}

impl Said {
    pub(crate) fn of(command: &Bytes, encoder: &Encoder) -> Self {
        // The bulk of what a child says.
        if encoder.is_chunk(command) {
            return Self::Other;
        }
        let options = ReadOptions {
            limits: Limits::default(),
            without_default_fields: &class::WITHOUT_DEFAULT_FIELDS,
        };
        let Ok(graph) = Graph::parse(command, &options) else { return Self::Other };
        graph.root().ok().and_then(said).unwrap_or(Self::Other)
    }
}

fn said(root: Node<'_>) -> Option<Said> {
    let int = |field: &'static str| root.read_field::<i32>(field).ok();
    let name = root.class_name()?;
    let is =
        |classes: &[&java_object_stream::Class]| classes.iter().any(|class| class.name() == name);
    if is(&[&class::RESPONSE]) {
        int("id").map(Said::Response)
    } else if is(&[&class::ACK, &class::WRITER_ACK]) {
        int("oid").map(Said::Acknowledged)
    } else if is(&[
        &class::EOF,
        &class::WRITER_EOF,
        &class::STREAM_UNEXPORT,
        &class::WRITER_UNEXPORT,
        &class::INPUT_EOF,
        &class::UNEXPORT,
    ]) {
        int("oid").map(Said::GivenBack)
    } else if is(&[&class::CONNECT]) {
        int("oidRos").map(Said::GivenBack)
    } else if is(&[&class::CLOSE]) {
        Some(Said::Close)
    } else if root.is_a(class::REQUEST.name()) {
        int("id").map(Said::Request)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, recorded};

    #[test]
    fn what_recorded_commands_mean_is_what_the_decoder_reads() {
        let encoder = Encoder::new().unwrap();
        for command in recorded::ALL.iter() {
            let expected = match Command::decode(&command.bytes).unwrap() {
                Command::Response { id, .. } => Said::Response(id),
                Command::UserRequest { id, .. }
                | Command::RpcRequest { id, .. }
                | Command::ReadRequest { id, .. } => Said::Request(id),
                Command::Ack { oid, .. } => Said::Acknowledged(oid),
                Command::Eof { oid, .. }
                | Command::StreamUnexport { oid, .. }
                | Command::InputEof { oid }
                | Command::Unexport { oid } => Said::GivenBack(oid),
                Command::Connect { oid_ros, .. } => Said::GivenBack(oid_ros),
                Command::Close { .. } => Said::Close,
                _ => Said::Other,
            };
            assert_eq!(Said::of(&command.bytes, &encoder), expected, "{}", command.class);
        }
        assert_eq!(
            Said::of(&Bytes::from_static(b"\xac\xed\x00\x05garbage"), &encoder),
            Said::Other
        );
    }
}
