//! Addresses of pods and Services on this machine's loopback, and the balancers behind Services.

mod addresses;
mod balancer;
mod claim;
mod routes;
mod services;

pub use addresses::Addresses;
pub use claim::{ClaimError, Network};
pub use services::{NetConfig, prepare, run};
