//! Kernel text, as bytes, to numbers.
//!
//! Every function takes the bytes of one file as the kernel printed them and gives `None` where the bytes do not
//! hold the value: an absent value is never 0. Nothing here allocates and nothing panics, whatever the input.

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

/// The pids of a `cgroup.procs` file, in file order. 0 stands for a process outside the reader's pid namespace and is
/// left out.
pub fn pids(text: &[u8]) -> impl Iterator<Item = u32> {
    lines(text).filter_map(number).filter_map(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0)
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
    fn small_proc_files() {
        assert_eq!(statm_resident_pages(b"2000 150 90 10 0 300 0\n"), Some(150));
        assert_eq!(statm_resident_pages(b"2000"), None);
        assert_eq!(uptime_ms(b"123.45 600.00\n"), Some(123_450));
        assert_eq!(uptime_ms(b"123\n"), None);
        assert_eq!(pids(b"1\n22\n0\n333\n").collect::<Vec<_>>(), vec![1, 22, 333]);
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (number(&text), limit(&text), process_stat(&text), statm_resident_pages(&text));
            let _ = (uptime_ms(&text), cpu_stat_usage_ns(&text), pids(&text).count());
            let _ = (memory_stat(&text, &MEMORY_KEYS_V1), memory_stat(&text, &MEMORY_KEYS_V2));
        }

        #[test]
        fn no_kernel_like_text_panics(text in "[a-z_ 0-9().\n-]{0,200}") {
            let _ = (process_stat(text.as_bytes()), memory_stat(text.as_bytes(), &MEMORY_KEYS_V1));
        }

        #[test]
        fn printed_numbers_come_back(value in any::<u64>()) {
            prop_assert_eq!(number(format!("{value}\n").as_bytes()), Some(value));
        }
    }
}
