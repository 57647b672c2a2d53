//! The interfaces of a pod, from `/proc/PID/net/dev` of one of its processes.
//!
//! Opened, read and closed: an open file would keep the network namespace of an ended pod alive. A pod in the host's
//! namespace has no network of its own, and what it sees is the node's, so it gets none.

use crate::details::{Interface, Traffic};
use crate::files;
use crate::group::SweepContext;
use crate::parse;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use std::fmt::Write as _;
use std::sync::Arc;

/// Most interfaces of a pod.
const INTERFACES_LIMIT: usize = 64;
/// Interfaces that are left out, by the starts of their lower-cased names: cAdvisor's list.
const LEFT_OUT: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// Reads the interfaces of the namespace of a process into `interfaces`, unless it is the host's. Whether the question
/// is answered; not if the process ended.
pub fn read(
    pid: u32,
    proc_root: &OwnedFd,
    interfaces: &mut Vec<Interface>,
    ctx: &mut SweepContext<'_>,
) -> bool {
    match is_in_host_namespace(pid, proc_root, ctx) {
        Some(false) => {}
        Some(true) => return true,
        None => return false,
    }
    let mut path = std::mem::take(ctx.path);
    path.clear();
    let _ = write!(path, "{pid}/net/dev");
    let answered = read_file(&path, proc_root, interfaces, ctx);
    *ctx.path = path;
    answered
}

/// Reads the interfaces in a file below /proc. Whether it could be read.
pub fn read_file(
    net_dev: &str,
    proc_root: &OwnedFd,
    interfaces: &mut Vec<Interface>,
    ctx: &mut SweepContext<'_>,
) -> bool {
    let Ok(text) = files::read_at(proc_root, net_dev, ctx.buffer) else { return false };
    for (name, counters) in parse::net_dev(text) {
        if interfaces.len() < INTERFACES_LIMIT && !is_left_out(name) {
            interfaces.push(interface(name, &counters));
        }
    }
    true
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|start| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)))
}

fn interface(name: &str, counters: &[u64; 16]) -> Interface {
    let traffic = |from: usize| Traffic {
        bytes: counters[from],
        packets: counters[from + 1],
        errors: counters[from + 2],
        dropped: counters[from + 3],
    };
    Interface { name: Arc::from(name), receive: traffic(0), transmit: traffic(8) }
}

/// Whether a process shares the network namespace of process 1; `None` when it ended. Namespaces are compared by their
/// inodes, which needs the right to trace the process; without it, by their interfaces: counters of one namespace, read
/// between two readings of the other, lie between them only if the two are one.
fn is_in_host_namespace(pid: u32, proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Option<bool> {
    let inode = |pid: u32, path: &mut String| {
        path.clear();
        let _ = write!(path, "{pid}/ns/net");
        rustix::fs::statat(proc_root, path.as_str(), AtFlags::empty())
            .map(|stat| (stat.st_dev, stat.st_ino))
            .ok()
    };
    if let (Some(own), Some(host)) = (inode(pid, ctx.path), inode(1, ctx.path)) {
        return Some(own == host);
    }
    let mut text = |pid: u32| {
        ctx.path.clear();
        let _ = write!(ctx.path, "{pid}/net/dev");
        let text = files::read_at(proc_root, ctx.path.as_str(), ctx.buffer).ok()?;
        Some(parse::net_dev(text).map(|(name, counters)| (name.to_owned(), counters)).collect::<Vec<_>>())
    };
    let before = text(1)?;
    let own = text(pid)?;
    let after = text(1)?;
    Some(lies_between(&before, &own, &after))
}

fn lies_between(
    before: &[(String, [u64; 16])],
    own: &[(String, [u64; 16])],
    after: &[(String, [u64; 16])],
) -> bool {
    before.len() == own.len()
        && own.len() == after.len()
        && before.iter().zip(own).zip(after).all(|((before, own), after)| {
            before.0 == own.0
                && own.0 == after.0
                && (0..16).all(|at| (before.1[at]..=after.1[at]).contains(&own.1[at]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_bridges_are_left_out() {
        for name in ["lo", "veth12ab", "Docker0", "nerdctl0"] {
            assert!(is_left_out(name), "{name}");
        }
        for name in ["eth0", "net1", "l", "wg0"] {
            assert!(!is_left_out(name), "{name}");
        }
    }

    #[test]
    fn one_namespace_or_two() {
        let at = |bytes: u64| vec![("eth0".to_owned(), [bytes; 16])];
        assert!(lies_between(&at(5), &at(6), &at(7)));
        assert!(
            !lies_between(&at(5), &at(9), &at(7)),
            "another namespace with an interface of the same name"
        );
        assert!(!lies_between(&at(5), &[], &at(7)));
    }

    #[test]
    fn columns() {
        let mut counters = [0; 16];
        for (at, counter) in counters.iter_mut().enumerate() {
            *counter = at as u64 + 1;
        }
        let found = interface("eth0", &counters);
        assert_eq!(found.receive, Traffic { bytes: 1, packets: 2, errors: 3, dropped: 4 });
        assert_eq!(found.transmit, Traffic { bytes: 9, packets: 10, errors: 11, dropped: 12 });
    }
}
