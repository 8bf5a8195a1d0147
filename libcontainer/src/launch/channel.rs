//! The host's end of the conversation with init.
use crate::{Error, ErrorKind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use std::mem::MaybeUninit;
use step::{CHUNK, Call, DESCRIPTORS, DETAIL, Failure, FromInit, ToInit};

/// A message of init's, owned.
#[derive(Debug)]
pub(crate) enum Heard {
    Reached {
        line: u16,
        rider: Option<OwnedFd>,
    },
    Passed {
        line: u16,
        nanoseconds: u64,
    },
    Forked {
        pid: i32,
        /// Who says so, says the kernel.
        by: i32,
    },
    /// Nothing but execve comes now.
    Executing,
    Failed(Words),
    /// The other end is closed: init has executed the program, if it has said that it would, or is no more.
    Closed,
}

/// Init's last words.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) line: u16,
    pub(crate) call: Call,
    pub(crate) errno: Errno,
    pub(crate) detail: String,
}

/// A socket that init speaks through, until the container is created.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Both ends; the second is init's.
    pub(crate) fn pair() -> Result<(Channel, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|errno| Error::system("start init", "socketpair", errno))?;
        rustix::net::sockopt::set_socket_passcred(&ours, true)
            .map_err(|errno| Error::system("start init", "setsockopt(SO_PASSCRED)", errno))?;
        Ok((Channel(ours), theirs))
    }

    /// The plan's bytes, and the descriptors of the first slots.
    pub(crate) fn send_plan(&self, plan: &[u8], trace: u16, descriptors: &[OwnedFd]) -> Result<()> {
        let len = u32::try_from(plan.len())
            .map_err(|_| Error::new(ErrorKind::InvalidConfig, "the plan has more than 4 GiB"))?;
        self.send(&ToInit::Plan { len, trace }, descriptors)?;
        plan.chunks(CHUNK).try_for_each(|chunk| self.send_bytes(chunk, &[]))
    }

    /// *go*, with the descriptors of the next slots.
    pub(crate) fn send_go(&self, descriptors: &[OwnedFd]) -> Result<()> {
        self.send(&ToInit::Go, descriptors)
    }

    fn send(&self, message: &ToInit, descriptors: &[OwnedFd]) -> Result<()> {
        let mut buffer = [0; 16];
        let bytes = postcard::to_slice(message, &mut buffer)
            .map_err(|error| Error::new(ErrorKind::System, format!("speak to init: {error}")))?;
        self.send_bytes(bytes, descriptors)
    }

    fn send_bytes(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<()> {
        let riders: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !riders.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&riders)) {
            return Err(Error::system("speak to init", "sendmsg", Errno::TOOMANYREFS));
        }
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                // What it said before it ended says more than this.
                Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(Error::system("speak to init", "sendmsg", errno)),
            }
        }
    }

    /// Waits for the next message.
    pub(crate) fn receive(&self) -> Result<Heard> {
        let mut buffer = [0; DETAIL + 32];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut reset = false;
        let len = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match rustix::net::recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                // It has ended without reading all that it was sent. The kernel says so once, and ahead of its last words.
                Err(Errno::CONNRESET) if !reset => reset = true,
                Err(Errno::CONNRESET) => return Ok(Heard::Closed),
                Err(errno) => return Err(Error::system("listen to init", "recvmsg", errno)),
                Ok(received) => break received.bytes,
            }
        };
        let (mut rider, mut by) = (None, 0);
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(descriptors) => rider = descriptors.last(),
                RecvAncillaryMessage::ScmCredentials(sender) => by = sender.pid.as_raw_nonzero().get(),
                _ => {}
            }
        }
        if len == 0 {
            return Ok(Heard::Closed);
        }
        let heard = understand(&buffer[..len], rider)?.0;
        Ok(match heard {
            Heard::Forked { pid, .. } => Heard::Forked { pid, by },
            heard => heard,
        })
    }
}

/// The first message in `bytes`, and what comes after it.
fn understand(bytes: &[u8], rider: Option<OwnedFd>) -> Result<(Heard, &[u8])> {
    let (message, rest) = postcard::take_from_bytes(bytes)
        .map_err(|error| Error::new(ErrorKind::System, format!("understand init: {error}")))?;
    let heard = match message {
        FromInit::Reached { line } => Heard::Reached { line, rider },
        FromInit::Passed { line, nanoseconds } => Heard::Passed { line, nanoseconds },
        // Who says so is known to who has received it.
        FromInit::Forked { pid } => Heard::Forked { pid, by: 0 },
        FromInit::Executing => Heard::Executing,
        FromInit::Failed(failure) => Heard::Failed(Words::from(&failure)),
    };
    Ok((heard, rest))
}

/// What a created init has had to say by the end of it, in a FIFO that only it writes to.
pub(crate) fn last_words(said: BorrowedFd<'_>) -> Result<Heard> {
    let mut words = Vec::new();
    let mut buffer = [0; DETAIL + 32];
    loop {
        match rustix::io::read(said, &mut buffer) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("listen to init", "read", errno)),
            Ok(0) => break,
            Ok(len) => words.extend_from_slice(&buffer[..len]),
        }
    }
    let (mut last, mut rest) = (Heard::Closed, &words[..]);
    while !rest.is_empty() {
        (last, rest) = understand(rest, None)?;
    }
    Ok(last)
}

impl From<&Failure<'_>> for Words {
    fn from(failure: &Failure<'_>) -> Words {
        Words {
            line: failure.line,
            call: failure.call,
            // Numbers that no kernel returns have no meaning to rustix.
            errno: match failure.errno {
                errno @ 1..4096 => Errno::from_raw_os_error(i32::from(errno)),
                _ => Errno::PROTO,
            },
            detail: String::from_utf8_lossy(failure.detail).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_an_errno_is_a_failure_still() {
        for errno in [0, 4096, u16::MAX] {
            let failure = Failure { line: 0, call: Call::Open, errno, detail: b"" };
            assert_eq!(Words::from(&failure).errno, Errno::PROTO);
        }
    }

    #[test]
    fn the_last_words_of_one_who_has_not_read_everything_are_heard() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send_go(&[]).unwrap();
        let failure = Failure { line: 7, call: Call::Open, errno: 5, detail: b"" };
        let words = postcard::to_stdvec(&FromInit::Failed(failure)).unwrap();
        rustix::net::send(&theirs, &words, SendFlags::NOSIGNAL).unwrap();
        drop(theirs);
        assert!(matches!(ours.receive(), Ok(Heard::Failed(words)) if words.errno == Errno::IO));
        assert!(matches!(ours.receive(), Ok(Heard::Closed)));
    }
}
