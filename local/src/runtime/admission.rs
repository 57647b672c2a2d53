//! What of a pod's spec this runtime cannot honour. Such a pod is refused, naming the field, rather than run wrongly.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::check;

/// Checks a spec; `own_uid` is the user that commands run as.
///
/// # Errors
/// One sentence naming the first field that cannot be honoured.
pub fn check(spec: &PodSpec, own_uid: u32) -> Result<(), String> {
    if spec.active_deadline_seconds.is_some() {
        return Err("spec.activeDeadlineSeconds: pods are not ended by a deadline here".to_owned());
    }
    let user = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    check_user(user, own_uid).map_err(|why| format!("spec.securityContext.runAsUser: {why}"))?;
    let containers = spec.containers.iter().enumerate().map(|(at, container)| ("containers", at, container));
    let init = spec.init_containers.iter().flatten().enumerate().map(|(at, c)| ("initContainers", at, c));
    for (list, at, container) in init.chain(containers) {
        check_container(container, own_uid)
            .map_err(|(field, why)| format!("spec.{list}[{at}].{field}: {why}"))?;
        if list == "initContainers" && container.restart_policy.is_some() {
            return Err(format!(
                "spec.initContainers[{at}].restartPolicy: sidecar containers are not supported here"
            ));
        }
    }
    Ok(())
}

/// A process must not run as somebody else than its manifest says, least of all as root.
fn check_user(wanted: Option<i64>, own_uid: u32) -> Result<(), String> {
    match wanted {
        Some(uid) if uid != i64::from(own_uid) => Err(format!(
            "commands run here as the user who started the cluster (uid {own_uid}), not as uid {uid}"
        )),
        _ => Ok(()),
    }
}

fn check_container(container: &Container, own_uid: u32) -> Result<(), (String, String)> {
    let user = container.security_context.as_ref().and_then(|context| context.run_as_user);
    check_user(user, own_uid).map_err(|why| ("securityContext.runAsUser".to_owned(), why))?;
    if container.volume_mounts.as_ref().is_some_and(|mounts| !mounts.is_empty()) {
        let why = "containers here are processes of this machine and cannot have volumes mounted; pass ConfigMaps and \
                   Secrets as environment (env, envFrom), and name files of this machine by their path";
        return Err(("volumeMounts".to_owned(), why.to_owned()));
    }
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (field, probe) in probes {
        if let Some(probe) = probe {
            let any = IpAddr::V4(Ipv4Addr::LOCALHOST);
            check::read(probe, container, any).map_err(|why| (field.to_owned(), why))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_are_named() {
        let refusal = |container: Value| {
            let spec = serde_json::from_value(json!({ "containers": [{"name": "ok"}, container] }));
            check(&spec.unwrap(), 1000).err()
        };
        assert_eq!(refusal(json!({"name": "c", "securityContext": {"runAsUser": 1000}})), None);
        let user =
            refusal(json!({"name": "c", "securityContext": {"runAsUser": 65534, "runAsNonRoot": true}}));
        assert_eq!(
            user.unwrap(),
            "spec.containers[1].securityContext.runAsUser: commands run here as the user who started the cluster \
             (uid 1000), not as uid 65534"
        );
        assert_eq!(refusal(json!({"name": "c", "livenessProbe": {"tcpSocket": {"port": 1}}})), None);
        let mounts = refusal(json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}));
        assert!(mounts.unwrap().starts_with("spec.containers[1].volumeMounts: "));
        let probe = refusal(json!({"name": "c", "readinessProbe": {"grpc": {"port": 1}}}));
        assert!(probe.unwrap().starts_with("spec.containers[1].readinessProbe: "));
        for spec in [json!({"activeDeadlineSeconds": 2}), json!({"securityContext": {"runAsUser": 0}})] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let refusal = check(&serde_json::from_value(spec.clone()).unwrap(), 1000).unwrap_err();
            let field = if spec["activeDeadlineSeconds"].is_null() {
                "securityContext"
            } else {
                "activeDeadlineSeconds"
            };
            assert!(refusal.starts_with(&format!("spec.{field}")), "{refusal}");
        }
    }
}
