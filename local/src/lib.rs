//! A one-machine, Kubernetes-compatible cluster: an API server that real kubectl talks to, the controllers that make
//! Deployments into pods, and a runtime that runs a pod's commands as processes in their own control groups.
//!
//! Data flows `rest` (HTTP) → `registry` (objects, rules, watches, disk) → `controllers` and `runtime` (watch objects,
//! act, write status back). `rest` and `registry` start no process; `controllers` and `runtime` open no HTTP server.

pub mod auth;
pub mod cluster;
pub mod controllers;
pub mod net;
pub mod registry;
pub mod rest;
pub mod runtime;
