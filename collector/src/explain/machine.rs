#![allow(clippy::disallowed_methods, reason = "reads the files it explains")]
//! The machine's files behind values of `/metrics/node`, as the words of a row name them.
//!
//! A word that begins like the path of a file is one: below /proc (`/proc/net`, `/proc/1/net` and `/proc/1/mountinfo` being the machine's, not
//! this process's), /sys, /etc or /usr. `DEVICE`, `SENSOR` and the `N` of `cpuN` stand for every name that is there. What stands
//! in backticks behind a file says which lines count, and so does the part of the name that a row leaves open. Values that the
//! kernel gives without a file, by a system call, have none: the words say which.

use super::read_text;
use super::terms::{self, Term};
use crate::node_exporter::Places;
use crate::table::Metric;
use std::path::{Path, PathBuf};

/// Most files of one value.
const FILES_LIMIT: usize = 64;

/// A file with its lines that count, or why it cannot be read.
pub type Read = (Term, PathBuf, Result<String, String>);

/// The files of a row, for a family of it called `name`.
pub fn read(row: &Metric, name: &str, places: &Places) -> Vec<Read> {
    let open = open_part(row, name);
    let named = files(row.source.v1).into_iter();
    let found = named.flat_map(|(file, key)| {
        let paths = there(places, &file);
        paths
            .into_iter()
            .map(move |path| (Term { file: file.clone(), key: key.clone(), negative: false }, path))
    });
    let read = |(term, path): (Term, PathBuf)| {
        let text = read_text(&path).map(|text| shown(&text, term.key.as_deref(), open));
        (term, path, text)
    };
    // Not every device has each file, and one file may stand for another: what is missing counts where all is.
    let (present, missing): (Vec<_>, Vec<_>) =
        found.filter(|(_, path)| !path.is_dir()).partition(|(_, path)| path.exists());
    let counted = if present.is_empty() { missing } else { present };
    counted.into_iter().take(FILES_LIMIT).map(read).collect()
}

/// What stands in a name where its row has angle brackets.
fn open_part<'n>(row: &Metric, name: &'n str) -> Option<&'n str> {
    let (start, _) = row.name.split_once('<')?;
    let (_, end) = row.name.rsplit_once('>')?;
    name.strip_prefix(start)?.strip_suffix(end)
}

/// The files that words name, each with what stands in backticks behind it.
fn files(words: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    // Every second part stands between backticks.
    for (at, part) in words.split('`').enumerate() {
        if at % 2 == 1 {
            if let Some((_, key @ None)) = found.last_mut() {
                *key = Some(part.to_owned());
            }
            continue;
        }
        let paths = part.split([' ', ',', ';']).map(|word| word.trim_end_matches(':'));
        let is_path =
            |word: &&str| ["/proc/", "/sys/", "/etc/", "/usr/"].iter().any(|root| word.starts_with(root));
        found.extend(paths.filter(is_path).map(|path| (path.to_owned(), None)));
    }
    found
}

/// The paths that are there for one file of a row; the one there should be where none is.
fn there(places: &Places, file: &str) -> Vec<PathBuf> {
    let below = |root: Option<&Path>, rest: &str| root.map(|root| vec![root.join(rest)]).unwrap_or_default();
    let (root, rest) = match file {
        "/proc/1/mountinfo" => return places.mountinfo.iter().cloned().collect(),
        _ => match file.strip_prefix('/').and_then(|file| file.split_once('/')) {
            Some(("proc", rest)) => match rest.strip_prefix("1/").unwrap_or(rest).strip_prefix("net/") {
                Some(rest) => return below(places.net.as_deref(), rest),
                None => (&places.proc, rest),
            },
            Some(("sys", rest)) => (&places.sys, rest),
            _ => (&places.root, file.trim_start_matches('/')),
        },
    };
    let mut found = vec![root.clone()];
    for part in rest.split('/') {
        found = found.into_iter().flat_map(|folder| matching(folder, part)).take(FILES_LIMIT).collect();
    }
    found
}

/// What a part of a path stands for in a folder.
fn matching(folder: PathBuf, part: &str) -> Vec<PathBuf> {
    let fits: Box<dyn Fn(&str) -> bool> = match part {
        "DEVICE" => Box::new(|_| true),
        _ => match (part.strip_suffix('N'), part.strip_prefix("SENSOR")) {
            (Some(stem), _) => {
                let stem = stem.to_owned();
                Box::new(move |name| {
                    let number = name.strip_prefix(&stem);
                    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
                })
            }
            (None, Some(end)) => {
                let end = end.to_owned();
                Box::new(move |name| name.ends_with(&end))
            }
            (None, None) => return vec![folder.join(part)],
        },
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&fits))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// The lines of a file that count.
fn shown(text: &str, key: Option<&str>, open: Option<&str>) -> String {
    let lines: Vec<&str> = match (key.map(|key| key.split(' ').next().unwrap_or(key)), open) {
        (Some("cpuN"), _) => text.lines().filter(|line| is_of_a_cpu(line)).collect(),
        (Some(key), _) => terms::lines(text, Some(key)),
        (None, Some(open)) => of_field(text, open),
        (None, None) => terms::lines(text, None),
    };
    lines.into_iter().take(super::LINES_LIMIT).collect::<Vec<_>>().join("\n")
}

fn is_of_a_cpu(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// The lines whose first word is the field, as a metric's name writes it, or what is before its first underscore: the
/// protocol. All of them where none has it.
fn of_field<'t>(text: &'t str, field: &str) -> Vec<&'t str> {
    let clean = |word: &str| {
        let word = word.trim_end_matches(':').trim_end_matches(')');
        word.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    };
    let first = |line: &str| line.split_whitespace().next().map(clean).unwrap_or_default();
    let having = |wanted: &str| text.lines().filter(|line| first(line) == wanted).collect::<Vec<_>>();
    let whole = having(field);
    let protocol = field.split('_').next().unwrap_or(field);
    match (whole.is_empty(), having(protocol)) {
        (false, _) => whole,
        (true, found) if !found.is_empty() => found,
        (true, _) => terms::lines(text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_exporter::rows::ROWS;

    #[test]
    fn words_name_files_and_keys() {
        let of = |words: &str| {
            files(words).into_iter().map(|(file, key)| (file, key.unwrap_or_default())).collect::<Vec<_>>()
        };
        let pair = |file: &str, key: &str| (file.to_owned(), key.to_owned());
        assert_eq!(of("/proc/stat `btime`"), [pair("/proc/stat", "btime")]);
        assert_eq!(of("/proc/pressure/io `full total` / 1e6"), [pair("/proc/pressure/io", "full total")]);
        assert_eq!(
            of("/proc/net/sockstat, /proc/net/sockstat6; `mem_bytes` is `mem` in pages"),
            [pair("/proc/net/sockstat", ""), pair("/proc/net/sockstat6", "mem_bytes")]
        );
        assert_eq!(of("statfs(2): bavail x bsize"), []);
    }

    #[test]
    fn lines_of_a_field() {
        let meminfo = "MemTotal: 10 kB\nActive(anon): 3 kB\nHugePages_Total: 2\n";
        assert_eq!(of_field(meminfo, "Active_anon"), ["Active(anon): 3 kB"]);
        let snmp = "Ip: A B\nIp: 1 2\nTcp: C D\nTcp: 3 4\n";
        assert_eq!(of_field(snmp, "Tcp_C"), ["Tcp: C D", "Tcp: 3 4"]);
        assert_eq!(of_field(snmp, "Udp_X").len(), 4, "all, for none is known to be it");
        let stat = "cpu  9\ncpu0 4\ncpu10 5\nctxt 7\n";
        assert_eq!(shown(stat, Some("cpuN"), None), "cpu0 4\ncpu10 5");
        assert_eq!(shown(stat, Some("ctxt"), None), "ctxt 7");
    }

    #[test]
    fn names_that_stand_for_many() {
        let root = tempfile::tempdir().unwrap();
        for folder in
            ["sys/devices/system/cpu/cpu0", "sys/devices/system/cpu/cpu1", "sys/devices/system/cpu/cpufreq"]
        {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("online"), "1\n").unwrap();
        }
        let at = |name: &str| root.path().join(name);
        let places = Places::find(&at("proc"), &at("sys"), root.path(), "n");
        let row = ROWS.iter().find(|row| row.name == "node_cpu_online").unwrap();
        let read = read(row, row.name, &places);
        let seen: Vec<_> = read.iter().map(|(_, path, text)| (path.clone(), text.clone())).collect();
        let cpu = |name: &str| (at("sys/devices/system/cpu").join(name).join("online"), Ok("1".to_owned()));
        assert_eq!(seen, [cpu("cpu0"), cpu("cpu1")]);
    }
}
