//! Kernel text, as bytes, to numbers.
//!
//! Every function takes the bytes of one file as the kernel printed them and gives `None` where the bytes do not
//! hold the value: an absent value is never 0. Nothing here allocates and nothing panics, whatever the input.

use crate::details::{DeviceIo, Pressure, Stall};

/// What `memory.stat` of a group says, as far as the sweep needs it. All in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStat {
    /// File pages on the inactive list: usage minus this is the working set.
    pub inactive_file_bytes: Option<u64>,
    /// Anonymous memory.
    pub rss_bytes: Option<u64>,
    /// Swapped-out memory; only v1 prints it here, and only where swap is accounted.
    pub swap_bytes: Option<u64>,
}

/// Names under which one cgroup version prints the values of [`MemoryStat`].
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryKeys {
    inactive_file: &'static [u8],
    rss: &'static [u8],
    swap: Option<&'static [u8]>,
}

/// v1: the hierarchical `total_*` keys, printed by every kernel whatever `memory.use_hierarchy` says.
pub const MEMORY_KEYS_V1: MemoryKeys =
    MemoryKeys { inactive_file: b"total_inactive_file", rss: b"total_rss", swap: Some(b"total_swap") };

/// v2: every key is hierarchical. Swap has a file of its own.
pub const MEMORY_KEYS_V2: MemoryKeys =
    MemoryKeys { inactive_file: b"inactive_file", rss: b"anon", swap: None };

/// A limit as the kernel prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The literal `max`.
    Unlimited,
    /// A number of bytes.
    Bytes(u64),
}

/// The fields of `/proc/PID/stat` that accounting by process needs. Times are in clock ticks (100 per second).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat<'a> {
    /// The command name between the parentheses, at most 15 bytes, as set by the process: never trust it.
    pub comm: &'a [u8],
    /// The parent.
    pub parent_pid: u32,
    /// utime + stime: CPU time of the process itself, all threads.
    pub own_ticks: u64,
    /// cutime + cstime: CPU time of children it has waited for.
    pub reaped_ticks: u64,
    /// Start, in ticks since boot. Together with the pid it names a process for ever.
    pub start_ticks: u64,
}

/// The first number of the file: `cpuacct.usage`, `memory.usage_in_bytes`, `memory.current`, …
///
/// Numbers below zero, which v1 files can hold because of kernel bugs, count as 0, as the reference reader does.
/// A number beyond 64 bits is `None`.
pub fn number(text: &[u8]) -> Option<u64> {
    digits(skip_blank(text)).map(|(value, _)| value)
}

/// The numbers of a text, up to the first word that is none.
pub fn numbers(text: &[u8]) -> impl Iterator<Item = u64> {
    text.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()).map_while(number)
}

/// A limit file: a number or `max`.
pub fn limit(text: &[u8]) -> Option<Limit> {
    let text = skip_blank(text);
    if text.starts_with(b"max") {
        return Some(Limit::Unlimited);
    }
    number(text).map(Limit::Bytes)
}

/// The value of one key in a file of `key value` lines.
pub fn keyed(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| value_of(line, key))
}

/// `memory.stat`, by name, stopping once every wanted key was seen.
pub fn memory_stat(text: &[u8], keys: &MemoryKeys) -> MemoryStat {
    let mut stat = MemoryStat::default();
    let mut wanted = 2 + usize::from(keys.swap.is_some());
    for line in lines(text) {
        let slot = if let Some(value) = value_of(line, keys.inactive_file) {
            (&mut stat.inactive_file_bytes, value)
        } else if let Some(value) = value_of(line, keys.rss) {
            (&mut stat.rss_bytes, value)
        } else if let Some(value) = keys.swap.and_then(|key| value_of(line, key)) {
            (&mut stat.swap_bytes, value)
        } else {
            continue;
        };
        *slot.0 = Some(slot.1);
        wanted -= 1;
        if wanted == 0 {
            break;
        }
    }
    stat
}

/// `usage_usec` of a v2 `cpu.stat`, in nanoseconds. `None` when it does not fit 64 bits.
pub fn cpu_stat_usage_ns(text: &[u8]) -> Option<u64> {
    keyed(text, b"usage_usec")?.checked_mul(1_000)
}

/// The `key value` lines of a file, in its order; lines of another shape are left out.
pub fn key_values(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(text).filter_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        Some((&line[..space], number(&line[space + 1..])?))
    })
}

/// v2 `cpu.max`: quota and period, both microseconds.
pub fn cpu_max(text: &[u8]) -> Option<(Limit, u64)> {
    let mut words = text.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    Some((limit(words.next()?)?, number(words.next()?)?))
}

/// A limit of v1: unlimited is -1 or a number too large to be meant (beyond 2^62, as cAdvisor draws the line).
pub fn limit_v1(text: &[u8]) -> Option<Limit> {
    let text = skip_blank(text);
    if text.starts_with(b"-1") {
        return Some(Limit::Unlimited);
    }
    match limit(text)? {
        Limit::Bytes(value) if value > 1 << 62 => Some(Limit::Unlimited),
        limit => Some(limit),
    }
}

/// A pressure file. `None` unless its `some` line is there and whole.
pub fn pressure(text: &[u8]) -> Option<Pressure> {
    let stall = |kind: &[u8]| lines(text).find_map(|line| stall(line.strip_prefix(kind)?));
    Some(Pressure { some: stall(b"some ")?, full: stall(b"full ") })
}

fn stall(fields: &[u8]) -> Option<Stall> {
    let value = |key: &[u8]| {
        let mut words = fields.split(|byte| *byte == b' ');
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix(b"="))
    };
    Some(Stall {
        avg10_centipercent: hundredths(value(b"avg10")?)?,
        avg60_centipercent: hundredths(value(b"avg60")?)?,
        avg300_centipercent: hundredths(value(b"avg300")?)?,
        total_us: number(value(b"total")?)?,
    })
}

/// `12.34` as 1234.
fn hundredths(text: &[u8]) -> Option<u32> {
    let (whole, rest) = digits(text)?;
    let [b'.', tens, ones] = rest else { return None };
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    let fraction = u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
    u32::try_from(whole.checked_mul(100)?.checked_add(fraction)?).ok()
}

/// `MAJOR:MINOR` at the start of a line, and what follows it.
pub fn device(line: &[u8]) -> Option<((u32, u32), &[u8])> {
    let (major, rest) = digits(line)?;
    let (minor, rest) = digits(rest.strip_prefix(b":")?)?;
    Some(((u32::try_from(major).ok()?, u32::try_from(minor).ok()?), rest))
}

/// v2 `io.stat`: one line per device, which may hold the device alone.
pub fn io_stat(text: &[u8]) -> impl Iterator<Item = DeviceIo> {
    lines(text).filter_map(|line| {
        let (device, fields) = device(line)?;
        let value = |key: &[u8]| {
            let mut words = fields.split(|byte| *byte == b' ');
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix(b"=")).and_then(number)
        };
        Some(DeviceIo {
            device,
            read_bytes: value(b"rbytes"),
            written_bytes: value(b"wbytes"),
            reads: value(b"rios"),
            writes: value(b"wios"),
        })
    })
}

/// v1 blkio files: lines `MAJOR:MINOR Operation value`; the operation and its value.
pub fn blkio(text: &[u8]) -> impl Iterator<Item = ((u32, u32), &[u8], u64)> {
    lines(text).filter_map(|line| {
        let (device, rest) = device(line)?;
        let rest = rest.strip_prefix(b" ")?;
        let space = rest.iter().position(|byte| *byte == b' ')?;
        Some((device, &rest[..space], number(&rest[space + 1..])?))
    })
}

/// `/proc/PID/net/dev`: interfaces and their sixteen counters.
pub fn net_dev(text: &[u8]) -> impl Iterator<Item = (&str, [u64; 16])> {
    lines(text).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(line[..colon].trim_ascii()).ok()?;
        let mut fields =
            line[colon + 1..].split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty());
        let mut counters = [0; 16];
        for counter in &mut counters {
            *counter = number(fields.next()?)?;
        }
        Some((name, counters))
    })
}

/// The soft limit of a line of `/proc/PID/limits`, by the line's name.
pub fn soft_limit(text: &[u8], name: &[u8]) -> Option<Limit> {
    let fields = lines(text).find_map(|line| line.strip_prefix(name))?;
    let word = fields.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty())?;
    match word {
        b"unlimited" => Some(Limit::Unlimited),
        word => number(word).map(Limit::Bytes),
    }
}

/// The pids of a `cgroup.procs` file, in file order. 0 stands for a process outside the reader's pid namespace and is
/// left out.
pub fn pids(text: &[u8]) -> impl Iterator<Item = u32> {
    lines(text).filter_map(number).filter_map(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0)
}

/// Number of processes in a `cgroup.procs` file, those outside the reader's pid namespace too. An empty file is a group
/// without processes; `None` for text that is none of pids.
pub fn processes(text: &[u8]) -> Option<u64> {
    let mut count = 0;
    for line in lines(text).filter(|line| !line.is_empty()) {
        number(line)?;
        count += 1;
    }
    Some(count)
}

/// `/proc/PID/stat`. The command name may hold anything, so fields are counted from the last `)`.
pub fn process_stat(text: &[u8]) -> Option<ProcessStat<'_>> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = text.get(open + 1..close)?;
    let mut fields = text[close + 1..].split(|byte| byte.is_ascii_whitespace()).filter(|f| !f.is_empty());
    // The first field here is number 3 of proc(5).
    let mut field = move |skip: usize| fields.nth(skip).and_then(number);
    let parent_pid = u32::try_from(field(1)?).ok()?;
    let utime = field(9)?;
    let stime = field(0)?;
    let cutime = field(0)?;
    let cstime = field(0)?;
    let start_ticks = field(4)?;
    Some(ProcessStat {
        comm,
        parent_pid,
        own_ticks: utime.checked_add(stime)?,
        reaped_ticks: cutime.checked_add(cstime)?,
        start_ticks,
    })
}

/// Resident pages of `/proc/PID/statm` (its second field).
pub fn statm_resident_pages(text: &[u8]) -> Option<u64> {
    let mut fields = text.split(|byte| byte.is_ascii_whitespace()).filter(|f| !f.is_empty());
    fields.nth(1).and_then(number)
}

/// `/proc/uptime`: time since boot in milliseconds (the file's resolution is 10 ms).
pub fn uptime_ms(text: &[u8]) -> Option<u64> {
    let (seconds, rest) = digits(skip_blank(text))?;
    let centis = match rest {
        [b'.', tens, ones, ..] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            u64::from(tens - b'0') * 10 + u64::from(ones - b'0')
        }
        _ => return None,
    };
    seconds.checked_mul(1_000)?.checked_add(centis * 10)
}

fn skip_blank(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// A run of digits at the start, and what follows it.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut value: u64 = 0;
    let mut used = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            break;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        used += 1;
    }
    if used == 0 {
        return None;
    }
    Some((if negative { 0 } else { value }, &text[used..]))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn value_of(line: &[u8], key: &[u8]) -> Option<u64> {
    match line.strip_prefix(key)? {
        [b' ', value @ ..] => number(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_as_the_kernel_prints_them() {
        let cases: [(&str, Option<u64>); 9] = [
            ("1234\n", Some(1234)),
            ("0\n", Some(0)),
            (" 7", Some(7)),
            ("-5\n", Some(0)),
            ("", None),
            ("\n", None),
            ("max\n", None),
            ("18446744073709551615\n", Some(u64::MAX)),
            ("18446744073709551616\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_up_to_the_first_word_that_is_none() {
        assert_eq!(numbers(b"5 0 18446744073709551615 \n").collect::<Vec<_>>(), [5, 0, u64::MAX]);
        assert_eq!(numbers(b"5 x 7").collect::<Vec<_>>(), [5]);
        assert_eq!(numbers(b"").count(), 0);
    }

    #[test]
    fn limits() {
        assert_eq!(limit(b"max\n"), Some(Limit::Unlimited));
        assert_eq!(limit(b"4096\n"), Some(Limit::Bytes(4096)));
        assert_eq!(limit(b""), None);
    }

    #[test]
    fn memory_stat_v1_takes_the_hierarchical_keys() {
        let text =
            b"cache 1\nrss 2\ninactive_file 3\nswap 9\ntotal_rss 20\ntotal_swap 5\ntotal_inactive_file 30\n";
        let stat = memory_stat(text, &MEMORY_KEYS_V1);
        assert_eq!(stat.rss_bytes, Some(20));
        assert_eq!(stat.inactive_file_bytes, Some(30));
        assert_eq!(stat.swap_bytes, Some(5));
    }

    #[test]
    fn memory_stat_v2_does_not_mistake_longer_keys() {
        let text = b"anon_thp 7\nanon 20\nworkingset_inactive_file 1\ninactive_file 30\n";
        let stat = memory_stat(text, &MEMORY_KEYS_V2);
        assert_eq!(stat, MemoryStat { rss_bytes: Some(20), inactive_file_bytes: Some(30), swap_bytes: None });
    }

    #[test]
    fn memory_stat_of_a_truncated_file_is_absent_not_zero() {
        assert_eq!(memory_stat(b"anon", &MEMORY_KEYS_V2), MemoryStat::default());
        assert_eq!(memory_stat(b"anon 12\ninactive_fi", &MEMORY_KEYS_V2).inactive_file_bytes, None);
    }

    #[test]
    fn cpu_stat() {
        assert_eq!(cpu_stat_usage_ns(b"usage_usec 12\nuser_usec 7\n"), Some(12_000));
        assert_eq!(cpu_stat_usage_ns(b"usage_usec 18446744073709551615\n"), None);
        assert_eq!(cpu_stat_usage_ns(b"user_usec 7\n"), None);
    }

    #[test]
    fn process_stat_with_a_hostile_name() {
        let text = b"42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 987654 1 2 3\n";
        let stat = process_stat(text).unwrap();
        assert_eq!(stat.comm, b"a) b (c");
        assert_eq!(stat.parent_pid, 7);
        assert_eq!(stat.own_ticks, 33);
        assert_eq!(stat.reaped_ticks, 77);
        assert_eq!(stat.start_ticks, 987_654);
    }

    #[test]
    fn process_stat_refuses_what_is_cut_short() {
        assert_eq!(process_stat(b"42 (x) S 7 42"), None);
        assert_eq!(process_stat(b")("), None);
        assert_eq!(process_stat(b""), None);
    }

    #[test]
    fn limits_of_v1() {
        assert_eq!(limit_v1(b"9223372036854771712\n"), Some(Limit::Unlimited));
        assert_eq!(limit_v1(b"-1\n"), Some(Limit::Unlimited));
        assert_eq!(limit_v1(b"104857600\n"), Some(Limit::Bytes(104_857_600)));
        assert_eq!(limit_v1(b"\n"), None);
        assert_eq!(cpu_max(b"max 100000\n"), Some((Limit::Unlimited, 100_000)));
        assert_eq!(cpu_max(b"20000 100000\n"), Some((Limit::Bytes(20_000), 100_000)));
        assert_eq!(cpu_max(b"20000"), None);
    }

    #[test]
    fn pressure_files() {
        let text = b"some avg10=33.55 avg60=36.60 avg300=0.01 total=13598683573\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let some = Stall {
            avg10_centipercent: 3355,
            avg60_centipercent: 3660,
            avg300_centipercent: 1,
            total_us: 13_598_683_573,
        };
        let found = pressure(text).unwrap();
        assert_eq!(found.some, some);
        assert_eq!(found.full.unwrap().total_us, 7);
        assert_eq!(pressure(b"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"), None);
        assert_eq!(pressure(b"some avg10=0.0"), None);
        assert_eq!(pressure(b""), None);
    }

    #[test]
    fn block_devices() {
        let text = b"254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n259:1 \n7:0 rbytes=1 cost.usage=3\nx\n";
        let found: Vec<_> = io_stat(text).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found[0].device, found[0].written_bytes, found[0].writes),
            ((254, 0), Some(8192), Some(2))
        );
        assert_eq!(found[1], DeviceIo { device: (259, 1), ..DeviceIo::default() });
        assert_eq!((found[2].read_bytes, found[2].written_bytes), (Some(1), None));
        let text = b"254:0 Read 10\n254:0 Write 20\n254:0 Total 30\nTotal 30\n254:0 Read\n";
        let found: Vec<_> = blkio(text).map(|(device, op, value)| (device, op.to_vec(), value)).collect();
        assert_eq!(found[1], ((254, 0), b"Write".to_vec(), 20));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn interfaces() {
        let text = b"Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0:5 6 7 8 0 0 0 0 9 10 11 12 0 0 0 0\nbad: 1 2\n";
        let found: Vec<_> = net_dev(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].0, found[1].1[0], found[1].1[8]), ("eth0", 5, 9));
    }

    #[test]
    fn open_file_limits() {
        let text = b"Limit Soft Hard Units\nMax open files            1024                 524288               files\nMax locked memory unlimited unlimited bytes\n";
        assert_eq!(soft_limit(text, b"Max open files"), Some(Limit::Bytes(1024)));
        assert_eq!(soft_limit(text, b"Max locked memory"), Some(Limit::Unlimited));
        assert_eq!(soft_limit(text, b"Max msgqueue"), None);
    }

    #[test]
    fn small_proc_files() {
        assert_eq!(statm_resident_pages(b"2000 150 90 10 0 300 0\n"), Some(150));
        assert_eq!(statm_resident_pages(b"2000"), None);
        assert_eq!(uptime_ms(b"123.45 600.00\n"), Some(123_450));
        assert_eq!(uptime_ms(b"123\n"), None);
        assert_eq!(pids(b"1\n22\n0\n333\n").collect::<Vec<_>>(), vec![1, 22, 333]);
        assert_eq!(processes(b"1\n0\n0\n"), Some(3));
        assert_eq!(processes(b""), Some(0));
        assert_eq!(processes(b"x\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (number(&text), limit(&text), process_stat(&text), statm_resident_pages(&text));
            let _ = (uptime_ms(&text), cpu_stat_usage_ns(&text), pids(&text).count());
            let _ = (memory_stat(&text, &MEMORY_KEYS_V1), memory_stat(&text, &MEMORY_KEYS_V2));
            let _ = (pressure(&text), cpu_max(&text), limit_v1(&text), soft_limit(&text, b"Max"));
            let _ = (io_stat(&text).count(), blkio(&text).count(), net_dev(&text).count());
            let _ = key_values(&text).count();
        }

        #[test]
        fn no_kernel_like_text_panics(text in "[a-z_ 0-9().\n-]{0,200}") {
            let _ = (process_stat(text.as_bytes()), memory_stat(text.as_bytes(), &MEMORY_KEYS_V1));
            let _ = (io_stat(text.as_bytes()).count(), net_dev(text.as_bytes()).count());
        }

        #[test]
        fn printed_numbers_come_back(value in any::<u64>()) {
            prop_assert_eq!(number(format!("{value}\n").as_bytes()), Some(value));
        }
    }
}
