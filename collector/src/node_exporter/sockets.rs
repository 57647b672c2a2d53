//! Protocols and sockets: /proc/net/{netstat,snmp,snmp6,sockstat,sockstat6,softnet_stat,udp,udp6,arp} and the table of
//! tracked connections.

use super::kept::Kept;
use super::text::{fields, hex, lines, shown, signed};
use super::{Collect, Places, Scrape, rows};
use crate::table::Metric;
use flyball_model::exposition::MetricType;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::Path;

/// Fields that upstream shows by default (`--collector.netstat.fields`).
pub fn netstat_wanted(protocol: &[u8], field: &[u8]) -> bool {
    if matches!(field, b"InErrors" | b"InErrs") {
        return true;
    }
    match protocol {
        b"Ip" => field == b"Forwarding",
        b"Ip6" | b"IpExt" => matches!(field, b"InOctets" | b"OutOctets"),
        b"Icmp" | b"Icmp6" => matches!(field, b"InMsgs" | b"OutMsgs"),
        b"TcpExt" => {
            field.starts_with(b"Listen")
                || field.starts_with(b"Syncookies")
                || matches!(field, b"TCPSynRetrans" | b"TCPTimeouts" | b"TCPOFOQueue" | b"TCPRcvQDrop")
        }
        b"Tcp" => matches!(
            field,
            b"ActiveOpens"
                | b"InSegs"
                | b"OutSegs"
                | b"OutRsts"
                | b"PassiveOpens"
                | b"RetransSegs"
                | b"CurrEstab"
        ),
        b"Udp" | b"Udp6" => {
            matches!(field, b"InDatagrams" | b"OutDatagrams" | b"NoPorts" | b"RcvbufErrors" | b"SndbufErrors")
        }
        _ => false,
    }
}

/// Protocol, field and value, if that is a wanted field with a number.
fn wanted<'a>(protocol: &'a [u8], field: &'a [u8], value: &[u8]) -> Option<(&'a str, &'a str, i64)> {
    if !netstat_wanted(protocol, field) {
        return None;
    }
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
    Some((text(protocol)?, text(field)?, signed(value)?))
}

/// Pairs of lines, `Tcp: names` and `Tcp: values`: the wanted fields. A pair that does not match is left out.
pub fn netstat(text: &[u8]) -> impl Iterator<Item = (&str, &str, i64)> {
    let mut all = lines(text);
    std::iter::from_fn(move || Some((all.next()?, all.next()?))).flat_map(|(names, values)| {
        let protocol = names.split(|byte| *byte == b':').next().unwrap_or_default();
        let pairs = fields(names).zip(fields(values)).skip(1);
        let same = values.starts_with(protocol);
        pairs.filter(move |_| same).filter_map(move |(name, value)| wanted(protocol, name, value))
    })
}

/// Lines `Ip6InReceives  12`: the wanted fields. The protocol ends with the first 6.
pub fn snmp6(text: &[u8]) -> impl Iterator<Item = (&str, &str, i64)> {
    lines(text).filter_map(|line| {
        let name_end = line.iter().position(u8::is_ascii_whitespace)?;
        let (name, value) = line.split_at(name_end);
        let six = name.iter().position(|byte| *byte == b'6')?;
        let (protocol, field) = name.split_at(six + 1);
        wanted(protocol, field, value.trim_ascii())
    })
}

/// `netstat`
pub struct NetstatCollector {
    files: Option<[Kept; 3]>,
}

impl NetstatCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> NetstatCollector {
        let open = |net: &Path| ["netstat", "snmp", "snmp6"].map(|name| Kept::whole(net.join(name)));
        NetstatCollector { files: places.net.as_deref().map(open) }
    }
}

impl Collect for NetstatCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        let mut family = |(protocol, field, value): (&str, &str, i64)| {
            let name = format!("node_netstat_{protocol}_{field}");
            let help = format!("Statistic {protocol}{field}.");
            out.one_named(&name, &help, MetricType::Untyped, value as f64);
        };
        let [one, two, six] = self.files.as_mut()?;
        netstat(one.text(buffer)?).for_each(&mut family);
        netstat(two.text(buffer)?).for_each(&mut family);
        match six.read(buffer) {
            Ok(text) => snmp6(text).for_each(&mut family),
            // IPv6 is off.
            Err(Errno::NOENT) => {}
            Err(_) => return None,
        }
        Some(())
    }
}

/// UDP of IPv4 and of IPv6 in sockstat.
const UDP: [&str; 2] = ["UDP", "UDP6"];
/// The fields of sockstat that upstream knows.
const SOCKSTAT_FIELDS: [&[u8]; 6] = [b"alloc", b"inuse", b"mem", b"memory", b"orphan", b"tw"];

/// Lines `TCP: inuse 5 orphan 0`: protocol, field, value.
pub fn sockstat(text: &[u8]) -> impl Iterator<Item = (&str, &str, i64)> {
    lines(text).flat_map(|line| {
        let mut parts = fields(line);
        let protocol =
            parts.next().and_then(|p| std::str::from_utf8(p).ok()).map(|p| p.trim_end_matches(':'));
        let pairs = std::iter::from_fn(move || Some((parts.next()?, parts.next()?)));
        pairs.filter_map(move |(field, value)| {
            let protocol = protocol?;
            if protocol != "sockets" && !SOCKSTAT_FIELDS.contains(&field) {
                return None;
            }
            Some((protocol, std::str::from_utf8(field).ok()?, signed(value)?))
        })
    })
}

/// `sockstat`
pub struct SockstatCollector {
    files: Option<[Kept; 2]>,
    page_bytes: f64,
}

impl SockstatCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> SockstatCollector {
        let open = |net: &Path| ["sockstat", "sockstat6"].map(|name| Kept::whole(net.join(name)));
        SockstatCollector {
            files: places.net.as_deref().map(open),
            page_bytes: rustix::param::page_size() as f64,
        }
    }
}

impl Collect for SockstatCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, udp_in_use, .. } = scrape;
        for file in self.files.as_mut()? {
            let text = match file.read(buffer) {
                Ok(text) => text,
                Err(Errno::NOENT) => continue,
                Err(_) => return None,
            };
            for (protocol, field, value) in sockstat(text) {
                if let (Some(version), "inuse") = (UDP.iter().position(|udp| *udp == protocol), field) {
                    udp_in_use[version] = Some(value);
                }
                if protocol == "sockets" {
                    if field == "used" {
                        out.one(&rows::SOCKSTAT_USED, value as f64);
                    }
                    continue;
                }
                let mut family = |field: &str, value: f64| {
                    let help = format!("Number of {protocol} sockets in state {field}.");
                    out.one_named(
                        &format!("node_sockstat_{protocol}_{field}"),
                        &help,
                        MetricType::Gauge,
                        value,
                    );
                };
                family(field, value as f64);
                if field == "mem" {
                    family("mem_bytes", value as f64 * self.page_bytes);
                }
            }
        }
        Some(())
    }
}

/// Rows of softnet_stat in the order of [`softnet`].
const SOFTNET_ROWS: [&Metric; 7] = [
    &rows::SOFTNET_BACKLOG,
    &rows::SOFTNET_COLLISION,
    &rows::SOFTNET_DROPPED,
    &rows::SOFTNET_FLOW_LIMIT,
    &rows::SOFTNET_PROCESSED,
    &rows::SOFTNET_RPS,
    &rows::SOFTNET_SQUEEZED,
];

/// Columns of each line: CPU, and values of [`SOFTNET_ROWS`]. Columns that older kernels lack are absent, where
/// upstream has 0. `None` when a line is not understood.
pub fn softnet(text: &[u8]) -> Option<Vec<(u64, [Option<u64>; 7])>> {
    let mut cpus = Vec::new();
    for line in lines(text) {
        let columns = fields(line).map(hex).collect::<Option<Vec<u64>>>()?;
        if columns.len() < 9 {
            return None;
        }
        let column = |index: usize| columns.get(index).copied();
        // 12 and 13 came together; before, lines stood for CPUs in their order.
        let (backlog, cpu) = (columns.len() >= 13).then(|| (columns[11], columns[12])).unzip();
        let values = [backlog, column(8), column(1), column(10), column(0), column(9), column(2)];
        cpus.push((cpu.unwrap_or(cpus.len() as u64), values));
    }
    Some(cpus)
}

/// `softnet`
pub struct SoftnetCollector {
    file: Option<Kept>,
}

impl SoftnetCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> SoftnetCollector {
        SoftnetCollector { file: places.net.as_ref().map(|net| Kept::new(net.join("softnet_stat"))) }
    }
}

impl Collect for SoftnetCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let cpus = softnet(self.file.as_mut()?.text(&mut scrape.buffer)?)?;
        let mut cpus: Vec<_> = cpus.into_iter().map(|(cpu, values)| (cpu.to_string(), values)).collect();
        cpus.sort_by(|a, b| a.0.cmp(&b.0));
        for (index, row) in SOFTNET_ROWS.into_iter().enumerate() {
            let samples = cpus.iter().map(|(cpu, values)| (cpu.as_str(), values[index].map(|v| v as f64)));
            scrape.out.each(row, "cpu", samples);
        }
        Some(())
    }
}

/// Bytes queued to be received and sent, summed over the sockets of /proc/net/udp. A line that is not understood is
/// left out.
pub fn udp_queues(text: &[u8]) -> (u64, u64) {
    let queues = lines(text).skip(1).filter_map(|line| {
        let field = fields(line).nth(4)?;
        let colon = field.iter().position(|byte| *byte == b':')?;
        Some((hex(&field[colon + 1..])?, hex(&field[..colon])?))
    });
    queues.fold((0, 0), |(rx, tx), (r, t)| (rx + (r & 0xffff_ffff), tx + (t & 0xffff_ffff)))
}

/// `udp_queues`
///
/// For its list of sockets the kernel walks all of a table made for a million of them, at sixty times the cost of
/// reading their number. So the list is not asked for while there are none.
pub struct UdpCollector {
    files: Option<[UdpFiles; 2]>,
}

struct UdpFiles {
    ip: &'static str,
    sockets: Kept,
}

impl UdpFiles {
    fn queues(&mut self, in_use: Option<i64>, buffer: &mut Vec<u8>) -> Result<(u64, u64), Errno> {
        if in_use == Some(0) && self.sockets.is_there() {
            return Ok((0, 0));
        }
        self.sockets.read(buffer).map(udp_queues)
    }
}

impl UdpCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> UdpCollector {
        let open = |net: &Path| {
            [("v4", "udp"), ("v6", "udp6")]
                .map(|(ip, sockets)| UdpFiles { ip, sockets: Kept::new(net.join(sockets)) })
        };
        UdpCollector { files: places.net.as_deref().map(open) }
    }
}

impl Collect for UdpCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let mut begun = None;
        for (files, in_use) in self.files.as_mut()?.iter_mut().zip(scrape.udp_in_use) {
            let (rx, tx) = match files.queues(in_use, &mut scrape.buffer) {
                Ok(queues) => queues,
                Err(Errno::NOENT) => continue,
                Err(_) => return None,
            };
            if begun.is_none() {
                scrape.out.family(&rows::UDP_QUEUES);
                begun = Some(());
            }
            for (queue, value) in [("rx", rx), ("tx", tx)] {
                scrape.out.sample(rows::UDP_QUEUES.name, &[("ip", files.ip), ("queue", queue)], value as f64);
            }
        }
        begun
    }
}

/// Entries of /proc/net/arp by device.
pub fn arp_entries(text: &[u8]) -> BTreeMap<String, u64> {
    let mut entries = BTreeMap::new();
    for device in lines(text).skip(1).filter_map(|line| fields(line).nth(5)) {
        *entries.entry(shown(device)).or_insert(0) += 1;
    }
    entries
}

/// `arp`
pub struct ArpCollector {
    file: Option<Kept>,
}

impl ArpCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> ArpCollector {
        ArpCollector { file: places.net.as_ref().map(|net| Kept::new(net.join("arp"))) }
    }
}

impl Collect for ArpCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let entries = arp_entries(self.file.as_mut()?.text(&mut scrape.buffer)?);
        let samples = entries.iter().map(|(device, count)| (device.as_str(), Some(*count as f64)));
        scrape.out.each(&rows::ARP_ENTRIES, "device", samples);
        Some(())
    }
}

/// Rows of the statistics of tracked connections, and the column of each.
const CONNTRACK_ROWS: [(&Metric, &[u8]); 8] = [
    (&rows::CONNTRACK_DROP, b"drop"),
    (&rows::CONNTRACK_EARLY_DROP, b"early_drop"),
    (&rows::CONNTRACK_FOUND, b"found"),
    (&rows::CONNTRACK_IGNORE, b"ignore"),
    (&rows::CONNTRACK_INSERT, b"insert"),
    (&rows::CONNTRACK_INSERT_FAILED, b"insert_failed"),
    (&rows::CONNTRACK_INVALID, b"invalid"),
    (&rows::CONNTRACK_SEARCH_RESTART, b"search_restart"),
];

/// Sums over the CPUs of one column of /proc/net/stat/nf_conntrack.
pub fn conntrack_sum(text: &[u8], column: &[u8]) -> Option<u64> {
    let mut all = lines(text);
    let index = fields(all.next()?).position(|name| name == column)?;
    all.try_fold(0_u64, |sum, line| sum.checked_add(hex(fields(line).nth(index)?)?))
}

/// `conntrack`
pub struct ConntrackCollector {
    files: Option<[Kept; 3]>,
}

impl ConntrackCollector {
    /// The two limits of /proc/sys are those of the reader's own network namespace, so they count only when that is the
    /// machine's.
    pub fn new(places: &Places) -> ConntrackCollector {
        let of = |name: &str| Kept::whole(places.proc.join("sys/net/netfilter").join(name));
        let open = |net: &Path| {
            [of("nf_conntrack_count"), of("nf_conntrack_max"), Kept::new(net.join("stat/nf_conntrack"))]
        };
        ConntrackCollector { files: places.net.as_deref().filter(|_| places.machines_sysctl).map(open) }
    }
}

impl Collect for ConntrackCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        let [count, max, stat] = self.files.as_mut()?;
        out.one(&rows::CONNTRACK_ENTRIES, count.number(buffer)?);
        out.one(&rows::CONNTRACK_LIMIT, max.number(buffer)?);
        let text = stat.text(buffer)?;
        for (row, column) in CONNTRACK_ROWS {
            if let Some(sum) = conntrack_sum(text, column) {
                out.one(row, sum as f64);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netstat_shows_the_default_fields() {
        let text = b"TcpExt: SyncookiesSent Foo ListenDrops TCPTimeouts\nTcpExt: 1 2 3 4\n\
            Ip: Forwarding DefaultTTL InErrors\nIp: 1 64 7\nTcp: CurrEstab RtoAlgorithm MaxConn\nTcp: 5 1 -1\n\
            Udp: InDatagrams\nOdd: 1\nLast: InErrs\n";
        let shown: Vec<_> = netstat(text).collect();
        let expected = [
            ("TcpExt", "SyncookiesSent", 1),
            ("TcpExt", "ListenDrops", 3),
            ("TcpExt", "TCPTimeouts", 4),
            ("Ip", "Forwarding", 1),
            ("Ip", "InErrors", 7),
            ("Tcp", "CurrEstab", 5),
        ];
        assert_eq!(shown, expected);
        let six: Vec<_> =
            snmp6(b"Ip6InOctets  9\nIp6InReceives 1\nUdpLite6InErrors 2\nIcmp6OutMsgs 3\nx 1\n6 2\n")
                .collect();
        assert_eq!(six, [("Ip6", "InOctets", 9), ("UdpLite6", "InErrors", 2), ("Icmp6", "OutMsgs", 3)]);
    }

    #[test]
    fn sockstat_by_protocol() {
        let text = b"sockets: used 95\nTCP: inuse 5 orphan 0 tw 1 alloc 8 mem -2\nFRAG: inuse 0 memory 0 odd 3\nRAW: inuse\n";
        let shown: Vec<_> = sockstat(text).collect();
        assert_eq!(shown.len(), 8);
        assert_eq!((shown[0], shown[5]), (("sockets", "used", 95), ("TCP", "mem", -2)));
        assert_eq!(shown[7], ("FRAG", "memory", 0));
    }

    #[test]
    fn softnet_of_new_and_old_kernels() {
        let new = b"0000000a 00000001 00000002 0 0 0 0 0 00000003 00000004 00000005 00000006 0000000b 0 0\n";
        let some = |values: [u64; 7]| values.map(Some);
        assert_eq!(softnet(new), Some(vec![(11, some([6, 3, 1, 5, 10, 4, 2]))]));
        let old = softnet(b"1 2 3 0 0 0 0 0 4\n1 2 3 0 0 0 0 0 4\n").unwrap();
        assert_eq!((old[1].0, old[1].1[0], old[1].1[1]), (1, None, Some(4)));
        assert_eq!((softnet(b"1 2\n"), softnet(b"x 2 3 4 5 6 7 8 9\n")), (None, None));
    }

    #[test]
    fn queues_of_udp_sockets() {
        let text = b"  sl  local_address rem_address   st tx_queue rx_queue\n\
            1: 0100007F:0143 00000000:0000 07 00000010:00000002 00:00000000\n\
            2: 0100007F:0144 00000000:0000 07 00000001:00000003 00:00000000\nbroken\n3: a b c d\n";
        assert_eq!(udp_queues(text), (5, 17));
    }

    #[test]
    fn arp_by_device() {
        let text = b"IP address HW type Flags HW address Mask Device\n10.0.0.1 0x1 0x2 02:00 * eth0\n\
            10.0.0.2 0x1 0x2 02:00 * eth0\n10.0.0.3 0x1 0x2 02:00 * a\nbroken\n";
        let entries: Vec<_> = arp_entries(text).into_iter().collect();
        assert_eq!(entries, [("a".to_owned(), 1), ("eth0".to_owned(), 2)]);
    }

    #[test]
    fn conntrack_by_column() {
        let text = b"entries  found drop early_drop\n0000000f 1 a 2\n0000000f 2 10 3\n";
        assert_eq!(conntrack_sum(text, b"found"), Some(3));
        assert_eq!(conntrack_sum(text, b"drop"), Some(26));
        assert_eq!((conntrack_sum(text, b"none"), conntrack_sum(b"drop\nx\n", b"drop")), (None, None));
    }
}
