//! Which pod has which address. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// A pool of addresses. A freed address comes last in the next round, so that late packets meet nobody.
#[derive(Debug)]
pub struct Addresses {
    range: RangeInclusive<Ipv4Addr>,
    taken: Mutex<Taken>,
}

#[derive(Debug)]
struct Taken {
    next: u32,
    addresses: BTreeSet<u32>,
}

impl Addresses {
    /// A pool of all addresses of a range.
    pub fn new(range: RangeInclusive<Ipv4Addr>) -> Self {
        let next = u32::from(*range.start());
        Self { range, taken: Mutex::new(Taken { next, addresses: BTreeSet::new() }) }
    }

    /// Takes an address; `None` if all are taken.
    pub fn allocate(&self) -> Option<Ipv4Addr> {
        let (first, last) = (u32::from(*self.range.start()), u32::from(*self.range.end()));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (taken.next..=last)
            .chain(first..taken.next)
            .find(|address| !taken.addresses.contains(address))?;
        taken.addresses.insert(free);
        taken.next = if free == last { first } else { free + 1 };
        Some(Ipv4Addr::from(free))
    }

    /// Gives an address back.
    pub fn release(&self, address: Ipv4Addr) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).addresses.remove(&u32::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round() {
        let ip = |last| Ipv4Addr::new(127, 9, 0, last);
        let pool = Addresses::new(ip(2)..=ip(4));
        assert_eq!((pool.allocate(), pool.allocate()), (Some(ip(2)), Some(ip(3))));
        pool.release(ip(2));
        assert_eq!((pool.allocate(), pool.allocate(), pool.allocate()), (Some(ip(4)), Some(ip(2)), None));
    }
}
