//! Network interfaces: counters, and what /sys/class/net says of them.
//!
//! The interfaces are those of the machine, so of pid 1. When this process is in the same network namespace, one dump of
//! rtnetlink has it all but what only sysfs knows: speed, duplex and how name and address were assigned, which are read
//! again when the link changes and otherwise once a minute. In another namespace the counters are those of
//! /proc/1/net/dev, made by the kernel by the same sums; of the rest nothing is shown unless /sys is the machine's.

use super::kept::{self, Kept};
use super::netlink::{IFF_UP, LinkMessage, Netlink};
use super::text::{hex, lines, number, shown, signed};
use super::{Aged, Collect, Places, Scrape, rows};
use crate::table::Metric;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Most interfaces shown.
const MAX_LINKS: usize = 16_384;

/// Rows of the counters, in the order of [`Counters`].
const COUNTER_ROWS: [&Metric; 17] = [
    &rows::NET_RECEIVE_BYTES,
    &rows::NET_RECEIVE_COMPRESSED,
    &rows::NET_RECEIVE_DROP,
    &rows::NET_RECEIVE_ERRS,
    &rows::NET_RECEIVE_FIFO,
    &rows::NET_RECEIVE_FRAME,
    &rows::NET_RECEIVE_MULTICAST,
    &rows::NET_RECEIVE_NOHANDLER,
    &rows::NET_RECEIVE_PACKETS,
    &rows::NET_TRANSMIT_BYTES,
    &rows::NET_TRANSMIT_CARRIER,
    &rows::NET_TRANSMIT_COLLS,
    &rows::NET_TRANSMIT_COMPRESSED,
    &rows::NET_TRANSMIT_DROP,
    &rows::NET_TRANSMIT_ERRS,
    &rows::NET_TRANSMIT_FIFO,
    &rows::NET_TRANSMIT_PACKETS,
];

/// Values of [`COUNTER_ROWS`].
pub type Counters = [Option<u64>; 17];

/// From `rtnl_link_stats64`, by upstream's sums (`legacy` in `netdev_common.go`).
pub fn counters_of_link(s: &super::netlink::Stats) -> Counters {
    let sum = |indexes: &[usize]| indexes.iter().fold(0_u64, |sum, index| sum.wrapping_add(s[*index]));
    [
        s[2],
        s[21],
        sum(&[6, 15]),
        s[4],
        s[14],
        sum(&[13, 10, 11, 12]),
        s[8],
        s[23],
        s[0],
        s[3],
        sum(&[17, 16, 19, 20]),
        s[9],
        s[22],
        s[7],
        s[5],
        s[18],
        s[1],
    ]
    .map(Some)
}

/// The lines of /proc/net/dev. The kernel has summed up as upstream does, and leaves out `nohandler`.
pub fn net_dev(text: &[u8]) -> impl Iterator<Item = (&[u8], Counters)> {
    lines(text).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, rest) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        let mut v = [0_u64; 16];
        let mut fields = super::text::fields(rest);
        for slot in &mut v {
            *slot = number(fields.next()?)?;
        }
        // receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs drop fifo colls
        // carrier compressed
        let receive = [v[0], v[6], v[3], v[2], v[4], v[5], v[7]].map(Some);
        let transmit = [v[8], v[14], v[13], v[15], v[11], v[10], v[12], v[9]].map(Some);
        let mut counters = [None; 17];
        counters[..7].copy_from_slice(&receive);
        counters[8] = Some(v[1]);
        counters[9..].copy_from_slice(&transmit);
        Some((name, counters))
    })
}

/// `netdev`
pub struct NetdevCollector {
    file: Option<Kept>,
    netlink: Option<Netlink>,
}

impl NetdevCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> NetdevCollector {
        NetdevCollector {
            file: places.net.as_ref().map(|net| Kept::new(net.join("dev"))),
            netlink: places.own_network.then(Netlink::default),
        }
    }
}

impl Collect for NetdevCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let links = self.netlink.as_mut().and_then(Netlink::links);
        let mut devices: Vec<(String, Counters)> = match &links {
            Some(links) => links
                .iter()
                .filter_map(|link| Some((link.name.clone(), counters_of_link(link.stats.as_ref()?))))
                .collect(),
            None => {
                let text = self.file.as_mut()?.text(&mut scrape.buffer)?;
                net_dev(text).take(MAX_LINKS).map(|(name, counters)| (shown(name), counters)).collect()
            }
        };
        devices.sort_by(|a, b| a.0.cmp(&b.0));
        devices.dedup_by(|a, b| a.0 == b.0);
        for (index, row) in COUNTER_ROWS.into_iter().enumerate() {
            let samples =
                devices.iter().map(|(name, counters)| (name.as_str(), counters[index].map(|c| c as f64)));
            scrape.out.each(row, "device", samples);
        }
        // The next collector needs them too.
        scrape.links = links;
        Some(())
    }
}

/// Rows of the numbers of /sys/class/net, the file of each, and whether it holds a hexadecimal number.
const CLASS_ROWS: [(&Metric, &str, bool); 17] = [
    (&rows::NET_ADDRESS_ASSIGN_TYPE, "addr_assign_type", false),
    (&rows::NET_CARRIER, "carrier", false),
    (&rows::NET_CARRIER_CHANGES, "carrier_changes", false),
    (&rows::NET_CARRIER_DOWN_CHANGES, "carrier_down_count", false),
    (&rows::NET_CARRIER_UP_CHANGES, "carrier_up_count", false),
    (&rows::NET_DEVICE_ID, "dev_id", true),
    (&rows::NET_DORMANT, "dormant", false),
    (&rows::NET_FLAGS, "flags", true),
    (&rows::NET_IFACE_ID, "ifindex", false),
    (&rows::NET_IFACE_LINK, "iflink", false),
    (&rows::NET_IFACE_LINK_MODE, "link_mode", false),
    (&rows::NET_MTU, "mtu", false),
    (&rows::NET_NAME_ASSIGN_TYPE, "name_assign_type", false),
    (&rows::NET_GROUP, "netdev_group", false),
    (&rows::NET_PROTOCOL_TYPE, "type", false),
    (&rows::NET_SPEED, "speed", false),
    (&rows::NET_TRANSMIT_QUEUE_LENGTH, "tx_queue_len", false),
];
const ADDRESS_ASSIGN_TYPE: usize = 0;
const DEVICE_ID: usize = 5;
const FLAGS: usize = 7;
const NAME_ASSIGN_TYPE: usize = 12;
const SPEED: usize = 15;
/// Bytes per second in one of the megabits per second that `speed` holds.
const SPEED_FACTOR: f64 = 125_000.0;

/// What /sys/class/net says of one interface.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Class {
    name: String,
    address: String,
    broadcast: String,
    duplex: String,
    alias: String,
    operstate: String,
    /// Values of [`CLASS_ROWS`].
    numbers: [Option<i64>; 17],
}

impl Class {
    fn read(folder: &Path, name: &str, buffer: &mut Vec<u8>) -> Class {
        let folder = folder.join(name);
        let mut word = |file: &str| kept::word(&folder.join(file), buffer).unwrap_or_default();
        Class {
            name: name.to_owned(),
            address: word("address"),
            broadcast: word("broadcast"),
            duplex: word("duplex"),
            alias: word("ifalias"),
            operstate: word("operstate"),
            numbers: CLASS_ROWS.map(|(_, file, hexadecimal)| parse(&word(file), hexadecimal)),
        }
    }

    /// What netlink has; sysfs adds the rest.
    fn of_link(link: &LinkMessage, slow: &Slow) -> Class {
        // As sysfs, which refuses these two while the interface is down.
        let while_up = |value| if link.flags & IFF_UP != 0 { value } else { None };
        let mut numbers = [
            None,
            while_up(link.carrier),
            link.carrier_changes,
            link.carrier_downs,
            link.carrier_ups,
            None,
            while_up(Some(i64::from(link.dormant))),
            Some(i64::from(link.flags)),
            Some(link.index),
            Some(link.link),
            link.link_mode,
            link.mtu,
            None,
            link.group,
            Some(link.kind),
            None,
            link.queue_length,
        ];
        for (index, value) in SLOW.into_iter().zip(slow.numbers) {
            numbers[index] = value;
        }
        Class {
            name: link.name.clone(),
            address: link.address.clone(),
            broadcast: link.broadcast.clone(),
            duplex: slow.duplex.clone(),
            alias: link.alias.clone(),
            operstate: link.operstate.to_owned(),
            numbers,
        }
    }
}

fn parse(word: &str, hexadecimal: bool) -> Option<i64> {
    if hexadecimal { i64::try_from(hex(word.as_bytes())?).ok() } else { signed(word.as_bytes()) }
}

/// What only sysfs knows.
#[derive(Default)]
struct Slow {
    duplex: String,
    numbers: [Option<i64>; 4],
}

const SLOW: [usize; 4] = [ADDRESS_ASSIGN_TYPE, DEVICE_ID, NAME_ASSIGN_TYPE, SPEED];

/// `netclass`
pub struct NetclassCollector {
    folder: Option<PathBuf>,
    slow: HashMap<String, (LinkMessage, Aged<Slow>)>,
}

impl NetclassCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> NetclassCollector {
        let folder = places.machines_sys.then(|| places.sys.join("class/net"));
        NetclassCollector { folder, slow: HashMap::new() }
    }

    fn of_links(&mut self, links: Vec<LinkMessage>, folder: &Path, buffer: &mut Vec<u8>) -> Vec<Class> {
        self.slow.retain(|name, _| links.iter().any(|link| link.name == *name));
        links
            .into_iter()
            .map(|mut link| {
                // Counters change all the time and say nothing of the link.
                link.stats = None;
                let entry =
                    self.slow.entry(link.name.clone()).or_insert_with(|| (link.clone(), Aged::default()));
                if entry.0 != link {
                    *entry = (link.clone(), Aged::default());
                }
                entry.1.refresh(|| {
                    let folder = folder.join(&link.name);
                    let mut word = |file: &str| kept::word(&folder.join(file), buffer).unwrap_or_default();
                    let numbers = SLOW.map(|index| parse(&word(CLASS_ROWS[index].1), CLASS_ROWS[index].2));
                    Slow { duplex: word("duplex"), numbers }
                });
                Class::of_link(&link, entry.1.get().unwrap_or(&Slow::default()))
            })
            .collect()
    }
}

impl Collect for NetclassCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let folder = self.folder.clone()?;
        let mut devices = match scrape.links.take() {
            Some(links) => self.of_links(links, &folder, &mut scrape.buffer),
            None => {
                let names = kept::list(&folder).ok()?;
                // Beside the interfaces there may be a file, `bonding_masters`.
                let names = names.into_iter().filter(|name| folder.join(name).is_dir()).take(MAX_LINKS);
                names.map(|name| Class::read(&folder, &name, &mut scrape.buffer)).collect()
            }
        };
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        write_class(scrape, devices);
        Some(())
    }
}

fn write_class(scrape: &mut Scrape, mut devices: Vec<Class>) {
    let out = &mut scrape.out;
    for (index, (row, ..)) in CLASS_ROWS.into_iter().enumerate() {
        let factor = if index == SPEED { SPEED_FACTOR } else { 1.0 };
        let samples = devices
            .iter()
            .map(|class| (class.name.as_str(), class.numbers[index].map(|value| value as f64 * factor)));
        out.each(row, "device", samples);
    }
    let up = devices.iter().map(|c| (c.name.as_str(), Some(f64::from(u8::from(c.operstate == "up")))));
    out.each(&rows::NET_UP, "device", up);
    if !devices.is_empty() {
        out.family(&rows::NET_INFO);
    }
    // Series ascend by their labels, of which the address is the first.
    let admin_state = |class: &Class| match class.numbers[FLAGS] {
        None => "unknown",
        Some(flags) if flags & i64::from(IFF_UP) != 0 => "up",
        Some(_) => "down",
    };
    devices.sort_by(|a, b| {
        (&a.address, admin_state(a), &a.broadcast, &a.name).cmp(&(
            &b.address,
            admin_state(b),
            &b.broadcast,
            &b.name,
        ))
    });
    for class in &devices {
        let labels = [
            ("address", class.address.as_str()),
            ("adminstate", admin_state(class)),
            ("broadcast", &class.broadcast),
            ("device", &class.name),
            ("duplex", &class.duplex),
            ("ifalias", &class.alias),
            ("operstate", &class.operstate),
        ];
        out.sample(rows::NET_INFO.name, &labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &[u8] = b"Inter-|   Receive                |  Transmit\n face |bytes packets|bytes packets\n\
          lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  bad: 1 2\neth0:21 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";

    fn of(counters: &Counters, name: &str) -> Option<u64> {
        let index = COUNTER_ROWS.iter().position(|row| row.name.contains(name)).unwrap();
        counters[index]
    }

    #[test]
    fn net_dev_by_column() {
        let devices: Vec<_> = net_dev(DEV).collect();
        assert_eq!(devices.len(), 2);
        assert_eq!((devices[0].0, devices[1].0), (&b"lo"[..], &b"eth0"[..]));
        let lo = &devices[0].1;
        let receive = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
        let transmit = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];
        let names = receive
            .map(|n| format!("receive_{n}"))
            .into_iter()
            .chain(transmit.map(|n| format!("transmit_{n}")));
        for (index, name) in names.enumerate() {
            assert_eq!(of(lo, &name), Some(index as u64 + 1), "{name}");
        }
        assert_eq!(of(lo, "nohandler"), None);
    }

    #[test]
    fn netlinks_counters_are_summed_as_the_kernel_does_for_proc() {
        let stats: super::super::netlink::Stats = std::array::from_fn(|index| 1 << index);
        let counters = counters_of_link(&stats);
        for (name, bits) in [
            ("receive_packets", 1 << 0),
            ("transmit_packets", 1 << 1),
            ("receive_bytes", 1 << 2),
            ("transmit_bytes", 1 << 3),
            ("receive_errs", 1 << 4),
            ("transmit_errs", 1 << 5),
            ("receive_drop", 1 << 6 | 1 << 15),
            ("transmit_drop", 1 << 7),
            ("multicast", 1 << 8),
            ("colls", 1 << 9),
            ("receive_frame", 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13),
            ("receive_fifo", 1 << 14),
            ("transmit_carrier", 1 << 16 | 1 << 17 | 1 << 19 | 1 << 20),
            ("transmit_fifo", 1 << 18),
            ("receive_compressed", 1 << 21),
            ("transmit_compressed", 1 << 22),
            ("nohandler", 1 << 23),
        ] {
            assert_eq!(of(&counters, name), Some(bits), "{name}");
        }
    }

    #[test]
    fn numbers_of_sysfs() {
        assert_eq!(
            (parse("0x1303", true), parse("-1", false), parse("", false)),
            (Some(0x1303), Some(-1), None)
        );
    }
}
