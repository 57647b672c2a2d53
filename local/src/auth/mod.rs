//! Who is who on this cluster: certificates, tokens, the kubeconfig, and the ConfigMap that tells aggregated servers whom
//! to trust.

pub mod identity;
pub mod kubeconfig;
pub mod publish;
pub mod tokens;

pub use identity::{AuthError, Identity};
