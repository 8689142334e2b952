//! Messages over a Unix socket, with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use crate::protocol::MAX_REQUEST;

/// The most descriptors of one message: the three streams of a process.
const MAX_DESCRIPTORS: usize = 3;

/// Connects to a socket in a directory that a container can write to. A link in its place, which would lead
/// to the socket of another container, is not followed; and whoever listens must be who made the socket.
pub(crate) async fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::open(directory.join(name), flags, Mode::empty())?;
    let made = rustix::fs::fstat(&socket)?;
    if FileType::from_raw_mode(made.st_mode) != FileType::Socket {
        return Err(invalid("what is there is no socket"));
    }
    let stream = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?;
    let listens = stream.peer_cred()?.uid();
    if listens != made.st_uid {
        let problem = format!("user {listens} listens, and user {} made the socket", made.st_uid);
        return Err(invalid(problem));
    }
    Ok(stream)
}

/// Sends a message with these descriptors.
pub(crate) async fn send(
    stream: &mut UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_REQUEST);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes", body.len())))?;
    let head = length.to_be_bytes();
    let mut sent = 0;
    while sent < head.len() {
        sent += stream
            .async_io(Interest::WRITABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                // They travel with the first byte.
                if sent == 0
                    && !descriptors.is_empty()
                    && !control.push(SendAncillaryMessage::ScmRights(descriptors))
                {
                    return Err(invalid("too many descriptors"));
                }
                let rest = [IoSlice::new(&head[sent..])];
                Ok(sendmsg(stream.as_fd(), &rest, &mut control, SendFlags::NOSIGNAL)?)
            })
            .await?;
    }
    stream.write_all(&body).await
}

/// Receives the bytes of a message, so many at most, and its descriptors.
pub(crate) async fn receive(
    stream: &mut UnixStream,
    most: usize,
) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut head = [0; 4];
    let mut descriptors = Vec::new();
    let mut received = 0;
    while received < head.len() {
        let got = stream
            .async_io(Interest::READABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut into = [IoSliceMut::new(&mut head[received..])];
                let message =
                    recvmsg(stream.as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
                for one in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(all) = one {
                        descriptors.extend(all);
                    }
                }
                if message.flags.contains(ReturnFlags::CTRUNC)
                    || descriptors.len() > MAX_DESCRIPTORS
                {
                    return Err(invalid("more descriptors than a process has streams"));
                }
                Ok(message.bytes)
            })
            .await?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received += got;
    }
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > most {
        return Err(invalid(format!("a message of {length} bytes, where {most} may come")));
    }
    let mut body = Vec::new();
    // Grows with what comes, not with what is announced.
    let wanted = u64::try_from(length).unwrap_or(u64::MAX);
    stream.take(wanted).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((body, descriptors))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}
