//! Flyball on a node with real containers: installed by the README's own lines, and measured against the kubelet.
#![allow(clippy::disallowed_methods, reason = "edge: tests of whole programs run commands and open sockets")]

mod beside_kubelet;
mod readme;

use flyball_e2e::plane::{Needs, Plane};

/// A plane with a node and the image of this program on it; `None` when it cannot be had here, which is said aloud.
fn with_image() -> Option<Plane> {
    let plane = Plane::alone(Needs::client().containers().no_hpa_loop().own_control_plane())?;
    if plane.image().is_none() {
        flyball_e2e::skipped("there is no image: `cargo xtask e2e` makes it");
        return None;
    }
    Some(plane)
}
