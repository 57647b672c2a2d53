//! Flyball on a real control plane. `cargo xtask e2e` runs these; by hand, in one thread:
//! `cargo test --workspace --test controlplane -- --test-threads=1`.

mod adapters;
mod applications;
mod bad_install;
mod behaviour;
mod install;
mod own_kind;
mod permissions;
mod real_node;
mod shipped;
mod smoke;
mod swaps;
mod uninstall;
