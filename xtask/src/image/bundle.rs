//! From a pod template to what runc runs: the part of a kubelet and of containerd that the check needs.
//!
//! Reads only what the manifests use, and refuses what it does not know, so that a new field of a security context cannot be
//! passed over in silence. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Fields of a container's or pod's security context that [`Bundle::config`] carries out.
const KNOWN_SECURITY: &[&str] = &[
    "allowPrivilegeEscalation",
    "capabilities",
    "fsGroup",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
];
/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a kubelet adds to the template.
pub struct Node {
    /// Unpacked image.
    pub root: PathBuf,
    /// Environment of the image and of every pod.
    pub environment: BTreeMap<String, String>,
    /// Values of `fieldRef`s by their path.
    pub fields: BTreeMap<&'static str, String>,
    /// Folder with token and CA of the service account.
    pub service_account: PathBuf,
    /// Folder of each Secret and emptyDir volume, by the volume's name.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Single files such as /etc/hosts: inside, outside.
    pub files: Vec<(&'static str, PathBuf)>,
    /// The seccomp profile that RuntimeDefault means.
    pub seccomp: Value,
}

/// A container of a pod template.
pub struct Bundle<'a> {
    pod: &'a Value,
    container: &'a Value,
}

impl<'a> Bundle<'a> {
    /// The only container of a workload.
    pub fn of(workload: &'a Value) -> anyhow::Result<Bundle<'a>> {
        let pod = &workload["spec"]["template"]["spec"];
        let [container] = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            bail!("a workload with other than one container");
        };
        for context in [&pod["securityContext"], &container["securityContext"]] {
            for field in context.as_object().into_iter().flatten().map(|(field, _)| field) {
                if !KNOWN_SECURITY.contains(&field.as_str()) {
                    bail!("the check does not know securityContext.{field}: teach it before using it");
                }
            }
        }
        Ok(Bundle { pod, container })
    }

    /// A field of the security context: the container's, else the pod's.
    fn security(&self, field: &str) -> &Value {
        match &self.container["securityContext"][field] {
            Value::Null => &self.pod["securityContext"][field],
            own => own,
        }
    }

    /// Number of the user the process runs as.
    pub fn user(&self) -> anyhow::Result<u64> {
        let user = self.security("runAsUser").as_u64().context("no runAsUser")?;
        if user == 0 && self.security("runAsNonRoot") == true {
            bail!("runAsNonRoot, and runs as root");
        }
        Ok(user)
    }

    /// Group that files of Secrets belong to.
    pub fn files_group(&self) -> Option<u64> {
        self.pod["securityContext"]["fsGroup"].as_u64()
    }

    /// Volumes of a kind: name and settings.
    pub fn volumes(&self, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let volumes = self.pod["volumes"].as_array().into_iter().flatten();
        volumes.filter_map(move |volume| Some((volume["name"].as_str()?, volume.get(kind)?)))
    }

    /// Where volumes are mounted that must not be written to.
    pub fn read_only_paths(&self) -> impl Iterator<Item = &'a str> {
        let mounts = self.container["volumeMounts"].as_array().into_iter().flatten();
        mounts.filter(|mount| mount["readOnly"] == true).filter_map(|mount| mount["mountPath"].as_str())
    }

    /// Probes by name: path and port.
    pub fn probes(&self) -> anyhow::Result<Vec<(&'static str, String, u64)>> {
        let mut probes = Vec::new();
        for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &self.container[kind]["httpGet"];
            if get["scheme"] != "HTTPS" {
                bail!("{kind} is not over HTTPS");
            }
            let path = get["path"].as_str().with_context(|| format!("{kind} has no path"))?;
            probes.push((kind, path.to_owned(), self.port(&get["port"])?));
        }
        Ok(probes)
    }

    fn port(&self, port: &Value) -> anyhow::Result<u64> {
        if let Some(number) = port.as_u64() {
            return Ok(number);
        }
        let ports = self.container["ports"].as_array().into_iter().flatten();
        let named =
            ports.filter(|known| known["name"] == *port).find_map(|known| known["containerPort"].as_u64());
        named.with_context(|| format!("no port is named {port}"))
    }

    /// The arguments with `$(NAME)` filled in, without the program.
    pub fn arguments(&self, node: &Node) -> anyhow::Result<Vec<String>> {
        let environment = self.environment(node)?;
        let arguments = self.container["args"].as_array().into_iter().flatten();
        Ok(arguments.filter_map(Value::as_str).map(|argument| expand(argument, &environment)).collect())
    }

    fn environment(&self, node: &Node) -> anyhow::Result<BTreeMap<String, String>> {
        let mut environment = node.environment.clone();
        for variable in self.container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().context("a variable without a name")?;
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            let value = match (variable["value"].as_str(), field) {
                (Some(value), _) => value.to_owned(),
                (None, Some(field)) => node
                    .fields
                    .get(field)
                    .with_context(|| format!("the check does not know {field}"))?
                    .clone(),
                (None, None) => bail!("the check does not know where {name} comes from"),
            };
            environment.insert(name.to_owned(), value);
        }
        Ok(environment)
    }

    /// runc's configuration for this container with these arguments.
    pub fn config(&self, node: &Node, arguments: &[String], cgroup: &str) -> anyhow::Result<Value> {
        let user = self.user()?;
        let group = self.security("runAsGroup").as_u64().unwrap_or(0);
        let environment: Vec<String> =
            self.environment(node)?.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let capabilities = self.capabilities()?;
        let mut linux = json!({
            "cgroupsPath": cgroup,
            // No network of its own: the check runs in one that is made for it.
            "namespaces": [{"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
        });
        if self.pod["hostPID"] != true
            && let Some(namespaces) = linux["namespaces"].as_array_mut()
        {
            namespaces.push(json!({"type": "pid"}));
        }
        match self.security("seccompProfile")["type"].as_str() {
            Some("RuntimeDefault") => linux["seccomp"] = node.seccomp.clone(),
            other => bail!("seccompProfile is {other:?}, not RuntimeDefault"),
        }
        Ok(json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": user, "gid": group, "additionalGids": self.files_group().into_iter().collect::<Vec<_>>()},
                "args": std::iter::once("/flyball").chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>(),
                "env": environment,
                "cwd": "/",
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
                "noNewPrivileges": self.security("allowPrivilegeEscalation") == false,
            },
            "root": {"path": node.root, "readonly": self.security("readOnlyRootFilesystem") == true},
            "hostname": "flyball",
            "mounts": self.mounts(node)?,
            "linux": linux,
        }))
    }

    /// What is left of the capabilities: the manifests drop all and add none.
    fn capabilities(&self) -> anyhow::Result<Vec<String>> {
        let capabilities = self.security("capabilities");
        if capabilities["drop"] != json!(["ALL"]) || !capabilities["add"].is_null() {
            bail!("capabilities other than drop: [ALL]");
        }
        Ok(Vec::new())
    }

    fn mounts(&self, node: &Node) -> anyhow::Result<Vec<Value>> {
        let volumes = self.container["volumeMounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut mounts = Vec::new();
        for mount in usual_mounts() {
            // As containerd and CRI-O do: a pod's mount takes the place of theirs.
            if !volumes.iter().any(|own| own["mountPath"] == mount["destination"]) {
                mounts.push(mount);
            }
        }
        for mount in volumes {
            let name = mount["name"].as_str().context("a mount without a name")?;
            let path = mount["mountPath"].as_str().context("a mount without a path")?;
            let host = self.volumes("hostPath").find(|(volume, _)| *volume == name);
            let source = match host.and_then(|(_, settings)| settings["path"].as_str()) {
                Some(path) => PathBuf::from(path),
                None => {
                    node.volumes.get(name).with_context(|| format!("no folder for volume {name}"))?.clone()
                }
            };
            mounts.push(bind(path, &source, mount["readOnly"] == true));
        }
        if self.pod["automountServiceAccountToken"] == true {
            mounts.push(bind(SERVICE_ACCOUNT, &node.service_account, true));
        }
        mounts.extend(node.files.iter().map(|(inside, outside)| bind(inside, outside, true)));
        Ok(mounts)
    }
}

fn bind(inside: &str, outside: &Path, read_only: bool) -> Value {
    // Only the top mount becomes read-only, as on kernels and runtimes that cannot do better.
    let options = if read_only { ["rbind", "rprivate", "ro"] } else { ["rbind", "rprivate", "rw"] };
    json!({ "destination": inside, "type": "bind", "source": outside, "options": options })
}

/// What containerd mounts into every container.
fn usual_mounts() -> Vec<Value> {
    let mount = |path: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": path, "type": kind, "source": source, "options": options });
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn expand(argument: &str, environment: &BTreeMap<String, String>) -> String {
    environment
        .iter()
        .fold(argument.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            root: "/r".into(),
            environment: BTreeMap::from([("PATH".into(), "/".into())]),
            fields: BTreeMap::from([("spec.nodeName", "n1".to_owned())]),
            service_account: "/sa".into(),
            volumes: BTreeMap::from([("tls".to_owned(), PathBuf::from("/v/tls"))]),
            files: vec![("/etc/hosts", "/h".into())],
            seccomp: json!({"defaultAction": "SCMP_ACT_ERRNO"}),
        }
    }

    fn workload() -> Value {
        json!({"spec": {"template": {"spec": {
            "automountServiceAccountToken": true,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup"}}, {"name": "tls", "secret": {}}],
            "containers": [{
                "args": ["collector", "--node-name=$(NODE_NAME)"],
                "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "ports": [{"name": "https", "containerPort": 4194}],
                "livenessProbe": {"httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"}},
                "startupProbe": {"httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 4194, "scheme": "HTTPS"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "cgroup", "mountPath": "/sys/fs/cgroup", "readOnly": true},
                    {"name": "tls", "mountPath": "/tls", "readOnly": true}],
            }],
        }}}})
    }

    #[test]
    fn the_security_context_and_the_mounts_reach_runc() {
        let workload = workload();
        let bundle = Bundle::of(&workload).unwrap();
        let arguments = bundle.arguments(&node()).unwrap();
        assert_eq!(arguments, ["collector", "--node-name=n1"]);
        let config = bundle.config(&node(), &arguments, "/c").unwrap();
        assert_eq!(config["process"]["user"]["uid"], 65534);
        assert_eq!(config["process"]["noNewPrivileges"], true);
        assert_eq!(config["process"]["capabilities"]["bounding"], json!([]));
        assert_eq!(config["root"]["readonly"], true);
        assert_eq!(config["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
        let mounts = config["mounts"].as_array().unwrap();
        let at = |path: &str| mounts.iter().filter(|mount| mount["destination"] == path).collect::<Vec<_>>();
        let [cgroup] = at("/sys/fs/cgroup")[..] else { panic!("one mount at /sys/fs/cgroup: {mounts:?}") };
        assert_eq!((&cgroup["type"], &cgroup["options"][2]), (&json!("bind"), &json!("ro")));
        assert_eq!(at("/tls")[0]["source"], "/v/tls");
        assert_eq!(at(SERVICE_ACCOUNT)[0]["source"], "/sa");
        assert_eq!(bundle.probes().unwrap()[2], ("readinessProbe", "/readyz".to_owned(), 4194));
    }

    #[test]
    fn what_is_not_known_or_not_restricted_is_refused() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 5] = [
            ("privileged", |pod| pod["containers"][0]["securityContext"]["privileged"] = true.into()),
            ("drop: [ALL]", |pod| {
                pod["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_PTRACE"])
            }),
            ("RuntimeDefault", |pod| pod["securityContext"]["seccompProfile"]["type"] = "Unconfined".into()),
            ("runs as root", |pod| pod["securityContext"]["runAsUser"] = 0.into()),
            ("status.podIP", |pod| {
                pod["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] = "status.podIP".into();
            }),
        ];
        for (expected, change) in cases {
            let mut workload = workload();
            change(&mut workload["spec"]["template"]["spec"]);
            let outcome =
                Bundle::of(&workload).and_then(|bundle| bundle.config(&node(), &[], "/c").map(drop));
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
