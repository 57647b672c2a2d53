//! Addresses of a plane: a part of the range that is set aside for tests of network devices, 198.18.0.0/15.
//!
//! They are no loopback addresses, which an EndpointSlice refuses, and they never leave the machine.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::run::run;

/// How many planes can run at the same time.
const PLANES_LIMIT: u8 = 128;

/// First and last host number handed out by [`Addresses::next`].
const HANDED_OUT: (u8, u8) = (10, 250);

/// Longest run of `ip`.
const IP_LIMIT: Duration = Duration::from_secs(10);

/// What the kernel answers when an address is there already, in older and newer releases.
const TAKEN: [&str; 2] = ["File exists", "already assigned"];

/// The addresses of one plane.
#[derive(Debug)]
pub(super) struct Addresses {
    number: u8,
    next: AtomicU8,
}

impl Addresses {
    /// Claims the first free number and adds its addresses to the loopback device.
    ///
    /// # Panics
    /// When none is free, or addresses cannot be added.
    pub fn claim() -> Self {
        for number in 0..PLANES_LIMIT {
            let addresses = Self { number, next: AtomicU8::new(HANDED_OUT.0) };
            // The kernel refuses an address that is there already: this is the lock.
            match add(&format!("{}/24", addresses.etcd())) {
                Ok(()) => {
                    for address in [addresses.api_server(), addresses.kubelet()] {
                        add(&format!("{address}/32")).unwrap_or_else(|error| panic!("{error}"));
                    }
                    return addresses;
                }
                Err(error) if TAKEN.iter().any(|said| error.contains(said)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("all {PLANES_LIMIT} numbers of planes are taken: see `ip address show dev lo`");
    }

    /// The number, for names that must be unique on this machine.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The API server's: the first of the Services, so that the Service `kubernetes` needs no proxy.
    pub fn api_server(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 1)
    }

    /// etcd's and the controllers'.
    pub fn etcd(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.number, 1)
    }

    /// The kubelet's.
    pub fn kubelet(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.number, 2)
    }

    /// The range of Services.
    pub fn services(&self) -> String {
        format!("198.18.{}.0/24", self.number)
    }

    /// The range of pods.
    pub fn pods(&self) -> String {
        format!("198.18.{}.0/24", u16::from(self.number) + 128)
    }

    /// One that nobody has.
    ///
    /// # Panics
    /// When all are handed out.
    pub fn next(&self) -> Ipv4Addr {
        let host = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(host <= HANDED_OUT.1, "all addresses of the plane are handed out");
        Ipv4Addr::new(198, 19, self.number, host)
    }

    /// Those the API server's certificate is for.
    pub fn of_api_server(&self) -> [IpAddr; 2] {
        [self.api_server().into(), Ipv4Addr::LOCALHOST.into()]
    }
}

fn add(address: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["address", "add", address, "dev", "lo"]);
    let finished = run(command, "", IP_LIMIT);
    if finished.success() { Ok(()) } else { Err(finished.to_string()) }
}
