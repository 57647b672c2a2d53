//! /proc/meminfo and /proc/vmstat: a family a field.

use super::kept::Kept;
use super::text::{fields, lines, number};
use super::{Collect, Places, Scrape};
use flyball_model::exposition::MetricType;
use std::fmt::Write as _;

/// Most fields taken from one file; current kernels print about sixty and two hundred.
const MAX_FIELDS: usize = 1024;

/// One line of meminfo: its name without the end that a family of bytes has, its value in base units, and whether that
/// is bytes. Every field the kernel prints is shown, those unknown to upstream too, as its earlier versions did.
pub fn meminfo(text: &[u8]) -> impl Iterator<Item = (&str, u64, bool)> {
    lines(text).filter_map(|line| {
        let mut fields = fields(line);
        let name = std::str::from_utf8(fields.next()?).ok()?.strip_suffix(':')?;
        let value = number(fields.next()?)?;
        match fields.next() {
            None => Some((name, value, false)),
            Some(b"kB") => Some((name, value.checked_mul(1024)?, true)),
            Some(_) => None,
        }
    })
}

/// `Active(anon)` as part of a family's name: `Active_anon`.
fn push_field(out: &mut String, name: &str) {
    let name = name.strip_suffix(')').unwrap_or(name);
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}

/// The fields of vmstat that upstream shows by default: `^(oom_kill|pgpg|pswp|pg.*fault).*`.
pub fn vmstat_wanted(name: &str) -> bool {
    ["oom_kill", "pgpg", "pswp"].iter().any(|start| name.starts_with(start))
        || name.strip_prefix("pg").is_some_and(|rest| rest.contains("fault"))
}

/// `meminfo`
pub struct MeminfoCollector {
    file: Kept,
}

impl MeminfoCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> MeminfoCollector {
        MeminfoCollector { file: Kept::whole(places.proc.join("meminfo")) }
    }
}

impl Collect for MeminfoCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        let text = self.file.text(buffer)?;
        let (mut name, mut help) = (String::new(), String::new());
        for (field, value, bytes) in meminfo(text).take(MAX_FIELDS) {
            name.clear();
            name.push_str("node_memory_");
            push_field(&mut name, field);
            name.push_str(if bytes { "_bytes" } else { "" });
            help.clear();
            let _ = write!(help, "Memory information field {}.", &name["node_memory_".len()..]);
            out.one_named(&name, &help, MetricType::Gauge, value as f64);
        }
        Some(())
    }
}

/// `vmstat`
pub struct VmstatCollector {
    file: Kept,
}

impl VmstatCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> VmstatCollector {
        VmstatCollector { file: Kept::new(places.proc.join("vmstat")) }
    }
}

impl Collect for VmstatCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        for line in lines(self.file.text(buffer)?).take(MAX_FIELDS) {
            let mut fields = fields(line);
            let Some(field) = fields.next().and_then(|field| std::str::from_utf8(field).ok()) else {
                continue;
            };
            if !vmstat_wanted(field) {
                continue;
            }
            let value = fields.next().and_then(number)?;
            let help = format!("/proc/vmstat information field {field}.");
            out.one_named(&format!("node_vmstat_{field}"), &help, MetricType::Untyped, value as f64);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_fields_have_upstreams_names() {
        let text = b"MemTotal:  24683120 kB\nActive(anon):  7 kB\nCommitted_AS: 1 kB\nHugePages_Total:  3\n\
            New(x)y: 2 kB\nbad\nBad: x kB\nOdd: 3 MB\nHuge: 18446744073709551615 kB\n";
        let named: Vec<_> = meminfo(text)
            .map(|(field, value, bytes)| {
                let mut name = String::new();
                push_field(&mut name, field);
                (name, value, bytes)
            })
            .collect();
        let expected = [
            ("MemTotal", 24_683_120 * 1024, true),
            ("Active_anon", 7168, true),
            ("Committed_AS", 1024, true),
            ("HugePages_Total", 3, false),
            ("New_x_y", 2048, true),
        ];
        assert_eq!(named, expected.map(|(name, value, bytes)| (name.to_owned(), value, bytes)));
    }

    #[test]
    fn vmstat_fields_shown_by_default() {
        for name in ["oom_kill", "pgpgin", "pgpgout", "pswpin", "pgfault", "pgmajfault", "pgxfaulty"] {
            assert!(vmstat_wanted(name), "{name}");
        }
        for name in ["pgfree", "pgfaul", "nr_dirty", "thp_fault_alloc", "xoom_kill"] {
            assert!(!vmstat_wanted(name), "{name}");
        }
    }
}
