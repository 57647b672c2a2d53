//! The loopback network of one instance: `127.X.0.0/16`, X from 16 to 254.
//!
//! The claim is an abstract Unix socket named after the network. The kernel gives it up when the process ends, however
//! it ends, so no network stays taken. Lower half: pods. Upper half: Services.
#![allow(clippy::disallowed_methods, reason = "edge: claims a network and tries its addresses")]

use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// First X. Lower ones are left to people and to distributions (127.0.0.53 and the like).
const FIRST: u8 = 16;
/// Last X.
const LAST: u8 = 254;

/// Why no network could be claimed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClaimError {
    /// All are taken, or loopback addresses cannot be bound here.
    #[error(
        "no loopback network 127.{FIRST}.0.0/16 to 127.{LAST}.0.0/16 is free: stop another instance, \
         or check that addresses in 127.0.0.0/8 can be bound on this machine"
    )]
    NoneFree,
}

/// A claimed network; dropping it gives it up.
#[derive(Debug)]
pub struct Network {
    x: u8,
    _claim: UnixListener,
}

impl Network {
    /// Claims a free network. `seed` (the data folder) decides where the search starts, so that a folder usually gets
    /// the same network again and Services keep their addresses.
    ///
    /// # Errors
    /// If none is free.
    pub fn claim(seed: &str) -> Result<Self, ClaimError> {
        order(seed).find_map(Self::try_claim).ok_or(ClaimError::NoneFree)
    }

    fn try_claim(x: u8) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("flyball-127.{x}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::new(127, x, 0, 1), 0)).ok()?;
        Some(Self { x, _claim: claim })
    }

    /// An address for the node's own endpoints.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.x, 0, 1)
    }

    /// Addresses of pods.
    pub fn pods(&self) -> RangeInclusive<Ipv4Addr> {
        Ipv4Addr::new(127, self.x, 0, 2)..=Ipv4Addr::new(127, self.x, 127, 254)
    }

    /// Addresses of Services.
    pub fn services(&self) -> RangeInclusive<Ipv4Addr> {
        Ipv4Addr::new(127, self.x, 128, 1)..=Ipv4Addr::new(127, self.x, 255, 254)
    }
}

/// Every X once, from one that depends on the seed.
fn order(seed: &str) -> impl Iterator<Item = u8> {
    let count = u32::from(LAST - FIRST) + 1;
    let start =
        seed.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % count;
    (0..count).map(move |step| FIRST + u8::try_from((start + step) % count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_visits_every_network_once() {
        let mut seen: Vec<u8> = order("/some/folder").collect();
        assert_eq!(seen.first(), order("/some/folder").next().as_ref());
        seen.sort_unstable();
        assert_eq!(seen, (FIRST..=LAST).collect::<Vec<u8>>());
    }

    #[test]
    fn two_claims_differ_and_a_dropped_one_is_free_again() {
        let first = Network::claim("claim-test").unwrap();
        let second = Network::claim("claim-test").unwrap();
        assert_ne!(first.x, second.x);
        let x = first.x;
        drop(first);
        assert_eq!(Network::try_claim(x).map(|network| network.x), Some(x));
        assert!(second.services().contains(&Ipv4Addr::new(127, second.x, 200, 1)));
        assert!(!second.pods().contains(&Ipv4Addr::new(127, second.x, 200, 1)));
    }
}
