//! Moving network devices into the container: as much of rtnetlink(7) as that takes.
use crate::{Error, ErrorKind, Result, sys};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

// linux/netlink.h, linux/rtnetlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;

// linux/if_link.h, linux/if_addr.h, linux/if.h
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
const IFA_F_PERMANENT: u32 = 0x80;
const IFF_UP: u32 = 1;

/// Length of `nlmsghdr`, `ifinfomsg`, `ifaddrmsg`.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;

/// Moves the device `name` of our network namespace into that of `pid`, under `new_name`, with its permanent global
/// addresses, and sets it up. It is never moved back: the kernel does that with what is real when the namespace ends.
pub(crate) fn move_into(pid: i32, name: &str, new_name: &str) -> Result<()> {
    let path = format!("/proc/{pid}/ns/net");
    let namespace = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("find the container's network", format!("open({path})"), errno))?;
    let outside = Netlink::here()?;
    let inside = Netlink::in_namespace(namespace.as_fd())?;

    let index =
        outside.links()?.into_iter().find(|link| link.name == name).map(|link| link.index).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, format!("there is no network device \"{name}\" to be moved"))
        })?;
    let before = inside.links()?;
    // The kernel moves first and renames then: it would be too late to find out.
    if before.iter().any(|link| link.name == new_name) {
        let message = format!("the container already has a network device \"{new_name}\"");
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    let addresses = outside.addresses(index)?;

    // The kernel takes it down by itself, and only if it can be moved.
    let descriptor = rustix::fd::AsRawFd::as_raw_fd(&namespace);
    outside.ask(
        &format!("RTM_NEWLINK({name}, IFLA_NET_NS_FD)"),
        Message::link(RTM_NEWLINK, index, 0)
            .attribute(IFLA_NET_NS_FD, &descriptor.to_ne_bytes())
            .attribute(IFLA_IFNAME, &zero_terminated(new_name)),
    )?;
    // Its number may be another now, and so may its name, if that was a template (`eth%d`).
    let is_new = |link: &Link| before.iter().all(|other| other.index != link.index);
    let lost = || Error::new(ErrorKind::System, format!("the network device \"{name}\" did not arrive"));
    let index = inside.links()?.into_iter().find(is_new).ok_or_else(lost)?.index;
    for address in addresses {
        inside.ask("RTM_NEWADDR", address.on(index))?;
    }
    inside.ask("RTM_NEWLINK(IFF_UP)", Message::link(RTM_NEWLINK, index, IFF_UP)).map(drop)
}

fn zero_terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// A device.
struct Link {
    index: u32,
    name: String,
}

/// A message without its header: type, flags and payload.
struct Message {
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

impl Message {
    /// `ifinfomsg`: to change the flags to `up`, to ask for all with index 0.
    fn link(kind: u16, index: u32, up: u32) -> Message {
        let mut payload = vec![0; LINK];
        payload[4..8].copy_from_slice(&index.to_ne_bytes());
        payload[8..12].copy_from_slice(&up.to_ne_bytes());
        payload[12..16].copy_from_slice(&up.to_ne_bytes());
        Message { kind, flags: NLM_F_ACK, payload }
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        // None is longer than a name or an address.
        let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.payload.extend(len.to_ne_bytes());
        self.payload.extend(kind.to_ne_bytes());
        self.payload.extend(value);
        self.payload.resize(self.payload.len().next_multiple_of(4), 0);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let len = u32::try_from(HEADER + self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::from(len.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | self.flags).to_ne_bytes());
        // Sequence number and port: nobody else uses this socket.
        bytes.extend([0; 8]);
        bytes.extend(&self.payload);
        bytes
    }
}

/// `ifaddrmsg` with its attributes, as the kernel told it.
struct Address(Vec<u8>);

impl Address {
    fn is_permanent_and_global(&self) -> bool {
        let flags = attributes(&self.0[ADDRESS..]).find(|(kind, _)| *kind == IFA_FLAGS);
        let flags = flags.map_or(u32::from(self.0[2]), |(_, value)| number(value, 0));
        flags & IFA_F_PERMANENT != 0 && self.0[3] == RT_SCOPE_UNIVERSE
    }

    /// The same for another device. Not the label, which begins with the name of the old one.
    fn on(&self, index: u32) -> Message {
        const KEPT: [u16; 6] = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_RT_PRIORITY, IFA_PROTO];
        let mut payload = self.0[..ADDRESS].to_vec();
        payload[4..8].copy_from_slice(&index.to_ne_bytes());
        let message = Message { kind: RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE, payload };
        let kept = attributes(&self.0[ADDRESS..]).filter(|(kind, _)| KEPT.contains(kind));
        kept.fold(message, |message, (kind, value)| message.attribute(kind, value))
    }
}

/// Four bytes of a message from `at` on; 0 if it is shorter.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// `(type, value)` of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(half(bytes, 0));
        let value = bytes.get(4..len)?;
        let kind = half(bytes, 2);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `ifinfomsg` with its attributes, as the kernel tells it.
fn link(told: &[u8]) -> Option<Link> {
    let (_, name) = attributes(told.get(LINK..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    Some(Link { index: number(told, 4), name })
}

/// A socket that stays with the network namespace in which it was made.
struct Netlink(OwnedFd);

impl Netlink {
    fn here() -> Result<Netlink> {
        // NETLINK_ROUTE is protocol 0.
        let fail = |errno| Error::system("speak to the network", "socket(AF_NETLINK)", errno);
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None).map_err(fail)?;
        sys::set_extended_ack(socket.as_fd());
        Ok(Netlink(socket))
    }

    /// A thread of its own goes there, as it could not come back without privilege, and nobody else may be taken along.
    fn in_namespace(namespace: BorrowedFd<'_>) -> Result<Netlink> {
        let fail = |errno| Error::system("enter the container's network", "setns(CLONE_NEWNET)", errno);
        let there = || {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).map_err(fail)?;
            Netlink::here()
        };
        let threaded = sys::on_a_thread(|| Ok(there()));
        threaded.map_err(|errno| Error::system("enter the container's network", "clone3", errno))?
    }

    fn links(&self) -> Result<Vec<Link>> {
        let all = Message { flags: NLM_F_DUMP, ..Message::link(RTM_GETLINK, 0, 0) };
        Ok(self.ask("RTM_GETLINK", all)?.iter().filter_map(|told| link(told)).collect())
    }

    /// The addresses that belong to the device wherever it is.
    fn addresses(&self, index: u32) -> Result<Vec<Address>> {
        let all = Message { kind: RTM_GETADDR, flags: NLM_F_DUMP, payload: vec![0; ADDRESS] };
        let told = self.ask("RTM_GETADDR", all)?.into_iter();
        let ours = told.filter(|told| told.len() >= ADDRESS && number(told, 4) == index).map(Address);
        Ok(ours.filter(Address::is_permanent_and_global).collect())
    }

    /// Sends a request; the payloads of what comes back before the end or the acknowledgement.
    fn ask(&self, call: &str, message: Message) -> Result<Vec<Vec<u8>>> {
        let fail = |errno| Error::system("move a network device", call, errno);
        rustix::net::send(&self.0, &message.bytes(), SendFlags::empty()).map_err(fail)?;
        let mut told = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (received, _) = match rustix::net::recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                received => received.map_err(fail)?,
            };
            match hear(&buffer[..received], &mut told) {
                Heard::More => {}
                Heard::End => return Ok(told),
                Heard::Refused(errno, words) => return Err(fail(errno).detail(words)),
            }
        }
    }
}

/// What a datagram comes to.
enum Heard {
    More,
    End,
    Refused(Errno, String),
}

/// The payloads in a datagram, up to the end or the acknowledgement.
fn hear(datagram: &[u8], told: &mut Vec<Vec<u8>>) -> Heard {
    let mut rest = datagram;
    while !rest.is_empty() {
        let len = usize::try_from(number(rest, 0)).unwrap_or(0);
        let Some(payload) = rest.get(HEADER..len) else { return Heard::Refused(Errno::BADMSG, String::new()) };
        match half(rest, 4) {
            NLMSG_DONE => return Heard::End,
            NLMSG_ERROR if number(payload, 0) == 0 => return Heard::End,
            NLMSG_ERROR => {
                let errno = number(payload, 0).wrapping_neg();
                // The kernel has none outside of this range, and `Errno` cannot hold another.
                let errno = i32::try_from(errno).ok().filter(|errno| (1..4096).contains(errno)).unwrap_or(libc::EIO);
                let errno = Errno::from_raw_os_error(errno);
                return Heard::Refused(errno, words(payload, half(rest, 6)));
            }
            _ => told.push(payload.to_vec()),
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Heard::More
}

/// What holds for every datagram, for tests and the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn laws(datagram: &[u8]) {
    let mut told = Vec::new();
    if let Heard::Refused(_, words) = hear(datagram, &mut told) {
        assert!(words.len() <= 3 * datagram.len());
    }
    assert!(told.iter().map(|payload| HEADER + payload.len()).sum::<usize>() <= datagram.len());
    for payload in told {
        if let Some(link) = link(&payload) {
            assert!(link.name.len() <= 3 * payload.len());
        }
        if payload.len() < ADDRESS {
            continue;
        }
        let address = Address(payload);
        let _ = address.is_permanent_and_global();
        let moved = address.on(7);
        assert_eq!(number(&moved.payload, 4), 7);
        let length = usize::try_from(number(&moved.bytes(), 0)).unwrap_or(0);
        assert!(length == HEADER + moved.payload.len() && length % 4 == 0);
        // Nothing is added, and what is kept stays what it was.
        for attribute in attributes(&moved.payload[ADDRESS..]) {
            assert!(attributes(&address.0[ADDRESS..]).any(|other| other == attribute), "{attribute:x?}");
        }
    }
}

/// The kernel's own words, after the errno and as much of the request as it has sent back.
fn words(error: &[u8], flags: u16) -> String {
    let sent_back = if flags & NLM_F_CAPPED != 0 { HEADER } else { usize::try_from(number(error, 4)).unwrap_or(0) };
    let rest = error.get(4 + sent_back.next_multiple_of(4)..).unwrap_or_default();
    let said = attributes(rest).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG);
    said.map_or_else(String::new, |(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_here_and_has_no_address_to_be_moved() {
        let here = Netlink::here().unwrap();
        let link = here.links().unwrap().into_iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(link.index, 1);
        assert!(here.addresses(link.index).unwrap().iter().all(|address| address.0[3] == RT_SCOPE_UNIVERSE));
    }

    #[test]
    fn attributes_are_padded() {
        let message = Message::link(RTM_NEWLINK, 7, IFF_UP).attribute(IFLA_IFNAME, b"lan\0").attribute(9, b"x");
        assert_eq!(message.payload.len(), LINK + 8 + 8);
        let read: Vec<_> = attributes(&message.payload[LINK..]).collect();
        assert_eq!(read, [(IFLA_IFNAME, &b"lan\0"[..]), (9, &b"x"[..])]);
    }

    #[test]
    fn the_kernel_says_what_is_wrong() {
        let nowhere = Netlink::here().unwrap().ask("RTM_NEWLINK", Message::link(RTM_NEWLINK, u32::MAX >> 1, IFF_UP));
        assert!(matches!(nowhere.unwrap_err().errno(), Some(libc::ENODEV | libc::EPERM)));
    }
}
