//! One rtnetlink dump: all links of the own network namespace with their 64-bit counters.
//!
//! This is where node_exporter has its counters from. It also has most of what /sys/class/net says, which would be
//! twenty files for each of a few hundred interfaces of a node full of pods.

use super::text::shown;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
/// An attribute with a number.
const NUMBER_BYTES: usize = 8;
const REQUEST_BYTES: usize = HEADER_BYTES + LINK_BYTES + NUMBER_BYTES;

const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKMODE: u16 = 17;
const IFLA_IFALIAS: u16 = 20;
const IFLA_STATS64: u16 = 23;
const IFLA_GROUP: u16 = 27;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_CARRIER_UP_COUNT: u16 = 47;
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;
const IFLA_ALLMULTI: u16 = 61;

/// `IFF_UP`: the administrator wants it up.
pub const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;
const IFF_DORMANT: u32 = 0x20000;
/// Flags that the kernel makes up for netlink and does not show in sysfs: running, lower up, dormant.
const IFF_VOLATILE: u32 = 0x40 | 0x10000 | IFF_DORMANT;

/// `RTEXT_FILTER_SKIP_STATS`: without the counters of each protocol, which the kernel would add up over all CPUs for every
/// link. Those of the link itself come all the same.
const WITHOUT_PROTOCOLS: u32 = 8;

/// Words of `IFLA_OPERSTATE` (RFC 2863), as sysfs prints them.
const OPERSTATES: [&str; 7] = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/// Most bytes of one answer, and of all.
const ROOM_BYTES: usize = 32 * 1024;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// `struct rtnl_link_stats64` up to `rx_nohandler`.
pub type Stats = [u64; 24];

/// One interface.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkMessage {
    /// Name.
    pub name: String,
    /// Number.
    pub index: i64,
    /// `ARPHRD_…`
    pub kind: i64,
    /// Flags as sysfs shows them.
    pub flags: u32,
    /// Whether it is dormant.
    pub dormant: bool,
    /// Counters.
    pub stats: Option<Stats>,
    /// Hardware addresses, as text.
    pub address: String,
    /// Hardware addresses, as text.
    pub broadcast: String,
    /// What the administrator calls it.
    pub alias: String,
    /// State, in words.
    pub operstate: &'static str,
    /// The interface it stands on; itself when on none.
    pub link: i64,
    /// Whether there is a carrier.
    pub carrier: Option<i64>,
    /// Changes of the carrier.
    pub carrier_changes: Option<i64>,
    /// Changes of the carrier to up.
    pub carrier_ups: Option<i64>,
    /// Changes of the carrier to down.
    pub carrier_downs: Option<i64>,
    /// Link mode.
    pub link_mode: Option<i64>,
    /// Largest packet, bytes.
    pub mtu: Option<i64>,
    /// Group.
    pub group: Option<i64>,
    /// Length of the queue, packets.
    pub queue_length: Option<i64>,
}

/// A socket for dumps.
#[derive(Default)]
pub struct Netlink {
    socket: Option<OwnedFd>,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// All links, or nothing when the kernel does not say. Never waits: the kernel has the answer ready when it is
    /// asked.
    pub fn links(&mut self) -> Option<Vec<LinkMessage>> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                // No protocol named: NETLINK_ROUTE is number 0.
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).ok()?
            }
        };
        self.sequence = self.sequence.wrapping_add(1);
        send(&socket, &request(self.sequence), SendFlags::empty()).ok()?;
        self.buffer.resize(ROOM_BYTES, 0);
        let mut links = Vec::new();
        let mut total = 0;
        loop {
            let (length, _) = recv(&socket, &mut self.buffer[..], RecvFlags::empty()).ok()?;
            total += length;
            let done = take_links(self.buffer.get(..length)?, self.sequence, &mut links)?;
            if done {
                break;
            }
            if length == 0 || total > MAX_BYTES {
                return None;
            }
        }
        // Kept only after a whole answer: the rest of a broken one must not be taken for the next.
        self.socket = Some(socket);
        Some(links)
    }
}

fn request(sequence: u32) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    request[..4].copy_from_slice(&(REQUEST_BYTES as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[8..12].copy_from_slice(&sequence.to_ne_bytes());
    let mask = &mut request[HEADER_BYTES + LINK_BYTES..];
    mask[..2].copy_from_slice(&(NUMBER_BYTES as u16).to_ne_bytes());
    mask[2..4].copy_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    mask[4..].copy_from_slice(&WITHOUT_PROTOCOLS.to_ne_bytes());
    request
}

/// Adds the links of one answer; tells whether it was the last. `None` when it is no answer to this question.
pub fn take_links(mut answer: &[u8], sequence: u32, links: &mut Vec<LinkMessage>) -> Option<bool> {
    while !answer.is_empty() {
        let length = u32_at(answer, 0)? as usize;
        let kind = u16_at(answer, 4)?;
        if length < HEADER_BYTES || u32_at(answer, 8)? != sequence {
            return None;
        }
        let message = answer.get(HEADER_BYTES..length)?;
        match kind {
            NLMSG_DONE => return Some(true),
            NLMSG_ERROR => return None,
            RTM_NEWLINK => links.extend(link(message)),
            _ => {}
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Some(false)
}

fn link(message: &[u8]) -> Option<LinkMessage> {
    let (index, flags) = (i64::from(i32_at(message, 4)?), u32_at(message, 8)?);
    let mut link = LinkMessage {
        index,
        link: index,
        kind: i64::from(u16_at(message, 2)?),
        flags: flags & !IFF_VOLATILE,
        dormant: flags & IFF_DORMANT != 0,
        operstate: OPERSTATES[0],
        ..LinkMessage::default()
    };
    let mut rest = message.get(LINK_BYTES..)?;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        // The two highest bits are flags.
        attribute(&mut link, u16_at(rest, 2)? & 0x3fff, value);
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    (!link.name.is_empty()).then_some(link)
}

fn attribute(link: &mut LinkMessage, kind: u16, value: &[u8]) {
    let number = || u32_at(value, 0).map(i64::from);
    let byte = || value.first().map(|byte| i64::from(*byte));
    match kind {
        IFLA_IFNAME => link.name = text(value),
        IFLA_IFALIAS => link.alias = text(value),
        IFLA_ADDRESS => link.address = hardware_address(value),
        IFLA_BROADCAST => link.broadcast = hardware_address(value),
        IFLA_STATS64 => link.stats = stats(value),
        IFLA_MTU => link.mtu = number(),
        IFLA_LINK => link.link = number().unwrap_or(link.index),
        IFLA_TXQLEN => link.queue_length = number(),
        IFLA_GROUP => link.group = number(),
        IFLA_CARRIER_CHANGES => link.carrier_changes = number(),
        IFLA_CARRIER_UP_COUNT => link.carrier_ups = number(),
        IFLA_CARRIER_DOWN_COUNT => link.carrier_downs = number(),
        IFLA_LINKMODE => link.link_mode = byte(),
        IFLA_CARRIER => link.carrier = byte(),
        IFLA_OPERSTATE => {
            let state = value.first().and_then(|state| OPERSTATES.get(usize::from(*state)));
            link.operstate = state.copied().unwrap_or(OPERSTATES[0]);
        }
        // Netlink shows these two flags only when the administrator set them, sysfs whenever they are in force.
        IFLA_PROMISCUITY if number().is_some_and(|count| count > 0) => link.flags |= IFF_PROMISC,
        IFLA_ALLMULTI if number().is_some_and(|count| count > 0) => link.flags |= IFF_ALLMULTI,
        _ => {}
    }
}

fn stats(value: &[u8]) -> Option<Stats> {
    let mut stats = Stats::default();
    for (slot, bytes) in stats.iter_mut().zip(value.chunks_exact(8)) {
        *slot = u64::from_ne_bytes(bytes.try_into().ok()?);
    }
    // Kernels before 4.6 lack the last one, which then stays 0, as upstream has it.
    (value.len() >= 23 * 8).then_some(stats)
}

fn text(value: &[u8]) -> String {
    shown(value.split(|byte| *byte == 0).next().unwrap_or_default())
}

fn hardware_address(value: &[u8]) -> String {
    value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn aligned(length: usize) -> usize {
    // An attribute of no length would be read for ever.
    length.max(4).next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((body.len() + HEADER_BYTES) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0, 0]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_link_as_the_kernel_describes_it() {
        let mut body = vec![0, 0, 1, 0];
        body.extend(7_i32.to_ne_bytes());
        body.extend((IFF_UP | 0x40 | IFF_DORMANT).to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute_bytes(IFLA_IFNAME, b"eth0\0"));
        body.extend(attribute_bytes(IFLA_ADDRESS, &[2, 0xfc, 0]));
        body.extend(attribute_bytes(IFLA_OPERSTATE, &[6]));
        body.extend(attribute_bytes(IFLA_PROMISCUITY, &1_u32.to_ne_bytes()));
        body.extend(attribute_bytes(IFLA_STATS64 | 0x8000, &[1; 23 * 8]));
        let mut links = Vec::new();
        assert_eq!(take_links(&message(RTM_NEWLINK, 5, &body), 5, &mut links), Some(false));
        let link = &links[0];
        assert_eq!((link.name.as_str(), link.index, link.link, link.kind), ("eth0", 7, 7, 1));
        assert_eq!((link.address.as_str(), link.operstate, link.flags), ("02:fc:00", "up", 0x101));
        assert!(link.dormant && link.stats.is_some_and(|stats| stats[0] > 0 && stats[23] == 0));
        assert_eq!(take_links(&message(NLMSG_DONE, 5, &[]), 5, &mut links), Some(true));
        assert_eq!(take_links(&message(NLMSG_DONE, 4, &[]), 5, &mut links), None, "an older question's");
        assert_eq!(take_links(&message(NLMSG_ERROR, 5, &[]), 5, &mut links), None);
    }

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::default();
        for _ in 0..3 {
            let links = netlink.links().unwrap();
            assert!(links.iter().any(|link| link.name == "lo" && link.stats.is_some()), "{links:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(answer in proptest::collection::vec(any::<u8>(), 0..300), sequence in 0_u32..2) {
            let _ = take_links(&answer, sequence, &mut Vec::new());
        }

        #[test]
        fn no_link_panics(body in proptest::collection::vec(0_u8..40, 0..300)) {
            let _ = take_links(&message(RTM_NEWLINK, 1, &body), 1, &mut Vec::new());
        }
    }
}
