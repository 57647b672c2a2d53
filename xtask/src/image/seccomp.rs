//! What `seccompProfile: {type: RuntimeDefault}` means: containerd's default profile for a process without capabilities,
//! as in `contrib/seccomp/seccomp_default.go` of containerd 2.0 (Apache-2.0). runc gets it from whoever starts it, so it
//! has to be here.

use anyhow::Context;
use serde_json::Value;

const PROFILE: &str = include_str!("seccomp.json");

/// The profile as runc takes it, for this machine's architecture.
pub fn runtime_default(architecture: &str) -> anyhow::Result<Value> {
    let mut profile: Value = serde_json::from_str(PROFILE).context("seccomp.json")?;
    profile["architectures"] = profile["architectures"][architecture].take();
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_refused() {
        for architecture in ["amd64", "arm64"] {
            let profile = runtime_default(architecture).unwrap();
            assert!(profile["architectures"].is_array(), "{architecture}");
            assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
            let allowed = profile["syscalls"][0]["names"].as_array().unwrap();
            for name in ["openat", "epoll_wait", "accept4"] {
                assert!(allowed.iter().any(|n| n == name), "{name}");
            }
            for name in ["mount", "setns", "bpf", "clone", "unshare", "keyctl"] {
                assert!(!allowed.iter().any(|n| n == name), "{name}");
            }
        }
    }
}
