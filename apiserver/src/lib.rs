//! What every aggregated Kubernetes API server needs: TLS with optional client certificates, delegated
//! authentication and authorization, discovery in both forms, content negotiation, `Status` and `Table` bodies,
//! probes, own metrics, and certificates.
//!
//! A server is a [`Handler`] given to [`serve()`]; [`standard::Standard`] adds the paths all servers share. What a
//! request passes on its way: TLS, authentication, impersonation, the in-flight limit, authorization, time-out,
//! handler. Behaviour and texts follow upstream's `k8s.io/apiserver`, since other programs match on them.

pub mod advice;
pub mod api_error;
pub mod attributes;
pub mod authentication;
pub mod authorization;
pub mod beside;
pub mod body;
pub mod cache;
pub mod certs;
pub mod delegated;
pub mod delegation;
pub mod discovery;
pub mod encode;
pub mod error;
pub mod generic;
pub mod heap;
pub mod live;
pub mod negotiation;
pub mod openapi;
pub mod own_metrics;
mod own_process;
pub mod permissions;
pub mod pieces;
pub mod probes;
pub mod protobuf;
pub mod query;
mod random;
pub mod request;
pub mod serve;
pub mod standard;
pub mod status;
pub mod table;
pub mod user;
mod yaml;

pub use advice::Advice;
pub use attributes::Attributes;
pub use authentication::{
    AnyOf, Authenticators, CaBundle, ClientCa, FrontProxy, LiveAuthenticators, PeerCertificates,
    TokenVerifier,
};
pub use authorization::{AllowedPaths, Authorizer, Decision, DenyAnonymous};
pub use beside::{AskedAs, Beside, Part};
pub use body::{Body, BoxError, LimitedBody, empty, full, stream};
pub use certs::{CertificateAuthority, Issued, ReloadingCertificate};
pub use delegated::{Delegated, DelegatedTokens, DelegationMetrics};
pub use error::ApiserverError;
pub use generic::{Believed, Generic, Serving};
pub use live::Live;
pub use query::Query;
pub use request::{Handler, Request, Responder, Response};
pub use serve::{Limits, Server, ServingTls, TlsChoice, serve};
pub use status::Status;
pub use user::User;
