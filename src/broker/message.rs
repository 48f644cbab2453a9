//! Sends a request and its two descriptors over a socket: from the session to the broker, and on to a tap.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::TapRequest;
use super::request::MAX_TAP_REQUEST_LEN;

/// A received message.
pub(super) enum ReceivedMessage {
    /// The request, or why it is invalid; the descriptors of the tap's stream and of its errors.
    Request(Result<TapRequest, String>, Vec<OwnedFd>),
    /// The other end was closed.
    End,
}

/// Sends a request.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    request: &TapRequest,
    descriptors: [BorrowedFd<'_>; 2],
) -> io::Result<()> {
    let message = serde_json::to_vec(request)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a request.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<ReceivedMessage> {
    let mut bytes = vec![0; MAX_TAP_REQUEST_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let message = recvmsg(socket, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    let descriptors: Vec<OwnedFd> = control.drain().filter_map(rights).flatten().collect();
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(ReceivedMessage::End);
    }
    let request = if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        Err("the request is too long".to_owned())
    } else {
        TapRequest::parse(&bytes[..message.bytes])
    };
    Ok(ReceivedMessage::Request(request, descriptors))
}
