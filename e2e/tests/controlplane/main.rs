//! Flyball on a real control plane. `cargo xtask e2e` runs these; by hand, in one thread:
//! `cargo test --workspace --test controlplane -- --test-threads=1`.

mod behaviour;
mod install;
mod shipped;
mod smoke;
mod swaps;
