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
const OF_POD_LIMIT: usize = 64;
/// Most interfaces of the machine, which has one for each pod.
const OF_NODE_LIMIT: usize = 1_024;
/// Interfaces that are left out, by the starts of their lower-cased names: cAdvisor's list.
const LEFT_OUT: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// Reads the interfaces of the namespace of a process into `interfaces`, unless it is the host's. Whether the question
/// is answered; not if the process ended. `known`: those of the last reading, whose names are used again.
pub fn read(
    pid: u32,
    proc_root: &OwnedFd,
    known: &[Interface],
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
    let answered = read_file(&path, proc_root, known, interfaces, OF_POD_LIMIT, ctx);
    *ctx.path = path;
    answered
}

/// Reads the machine's interfaces, in this file below /proc. Whether it could be read.
pub fn read_node(
    net_dev: &str,
    proc_root: &OwnedFd,
    known: &[Interface],
    interfaces: &mut Vec<Interface>,
    ctx: &mut SweepContext<'_>,
) -> bool {
    read_file(net_dev, proc_root, known, interfaces, OF_NODE_LIMIT, ctx)
}

fn read_file(
    net_dev: &str,
    proc_root: &OwnedFd,
    known: &[Interface],
    interfaces: &mut Vec<Interface>,
    limit: usize,
    ctx: &mut SweepContext<'_>,
) -> bool {
    let Ok(text) = files::read_at(proc_root, net_dev, ctx.buffer) else { return false };
    for (name, counters) in parse::net_dev(text).filter(|(name, _)| !is_left_out(name)).take(limit) {
        interfaces.push(interface(name, known, &counters));
    }
    true
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|start| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)))
}

fn interface(name: &str, known: &[Interface], counters: &[u64; 16]) -> Interface {
    let traffic = |from: usize| Traffic {
        bytes: counters[from],
        packets: counters[from + 1],
        errors: counters[from + 2],
        dropped: counters[from + 3],
    };
    let known = known.iter().find(|interface| *interface.name == *name);
    let name = known.map_or_else(|| Arc::from(name), |interface| interface.name.clone());
    Interface { name, receive: traffic(0), transmit: traffic(8) }
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
    let path = &mut *ctx.path;
    let mut text = |pid: u32, buffer| {
        path.clear();
        let _ = write!(path, "{pid}/net/dev");
        files::read_at(proc_root, path.as_str(), buffer).ok()
    };
    let third = ctx.buffer.len() / 3;
    let (first, rest) = ctx.buffer.split_at_mut(third);
    let (second, last) = rest.split_at_mut(third);
    let before = text(1, first)?;
    let own = text(pid, second)?;
    let after = text(1, last)?;
    Some(lies_between(before, own, after))
}

/// Texts of `net/dev`.
fn lies_between(before: &[u8], own: &[u8], after: &[u8]) -> bool {
    let (mut before, mut own, mut after) =
        (parse::net_dev(before), parse::net_dev(own), parse::net_dev(after));
    loop {
        let ((before, first), (own, counters), (after, last)) =
            match (before.next(), own.next(), after.next()) {
                (Some(before), Some(own), Some(after)) => (before, own, after),
                (None, None, None) => return true,
                _ => return false,
            };
        let lies = (0..16).all(|at| (first[at]..=last[at]).contains(&counters[at]));
        if before != own || own != after || !lies {
            return false;
        }
    }
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
        let at = |value: u64| format!("eth0:{}\n", format!(" {value}").repeat(16)).into_bytes();
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
        let before = interface("eth0", &[], &[0; 16]);
        let found = interface("eth0", std::slice::from_ref(&before), &counters);
        assert!(Arc::ptr_eq(&found.name, &before.name));
        assert_eq!(found.receive, Traffic { bytes: 1, packets: 2, errors: 3, dropped: 4 });
        assert_eq!(found.transmit, Traffic { bytes: 9, packets: 10, errors: 11, dropped: 12 });
    }
}
