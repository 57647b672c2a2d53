//! Hollow nodes: Nodes whose pods run without containers.

pub mod nodes;
pub mod objects;
pub mod pods;
pub mod steps;
