//! `cargo xtask image --run-check`: runs the image as the manifests would have it run, without a cluster.
//!
//! Takes each part's pod template out of `kubectl kustomize deploy/overlays/everything` and starts it with runc under
//! exactly that security context, with those mounts, arguments and environment (see [`super::bundle`]). The API server
//! behind them is `flyball local`, started from the same image. Of each part it is checked that
//!
//! * `--version` and `--help` work in it, and names are looked up in /etc/hosts and by DNS, with nothing but the image;
//! * the kernel holds it to what the manifest says: user, no capabilities, no new privileges, seccomp, read-only root;
//! * every probe of the manifest succeeds;
//! * it goes with exit code 0 when told to;
//!
//! and of the collector that it measures a container of this machine by name.
//!
//! Everything runs in a network namespace of its own, so ports are free and nothing is reached from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::bundle::{Bundle, Node};
use super::cluster::{self, Cluster, kubectl, kubectl_at};
use super::container::{Container, eventually};
use super::names::NameServer;
use super::seccomp;
use crate::cargo::this_program;

/// The parts: kind and name. The metrics server comes first because it issues the collectors' certificate.
const WORKLOADS: [(&str, &str); 3] = [
    ("Deployment", "flyball-metrics-server"),
    ("Deployment", "flyball-hpa"),
    ("DaemonSet", "flyball-collector"),
];
/// What the check cannot do without, and whose it is in Debian.
const PROGRAMS: [(&str, &str); 4] =
    [("runc", "runc"), ("kubectl", "kubernetes-client"), ("ip", "iproute2"), ("unshare", "util-linux")];
/// The workload that the collector must find.
const WORKLOAD_POD: &str = "image-check";
/// What the collector must tell of it, and of the node.
const SERIES: [(&str, &str); 5] = [
    ("node_cpu_usage_seconds_total", " "),
    ("node_memory_working_set_bytes", " "),
    ("container_cpu_usage_seconds_total", "pod=\"image-check\""),
    ("container_memory_working_set_bytes", "pod=\"image-check\""),
    ("container_start_time_seconds", "pod=\"image-check\""),
];
/// A name that only the check's /etc/hosts knows, and one that only its name server does.
const HOSTS_NAME: &str = "hosts.flyball.test";
const DNS_NAME: &str = "dns.flyball.test";
/// Where the parts serve. Their only argument that is not the manifest's: `flyball local` has parts of its own, on the same
/// ports of its node's address.
const BIND_ADDRESS: &str = "127.66.0.1";

/// Runs the check, or says what this machine lacks for it.
pub fn run(archive: &Path) -> anyhow::Result<()> {
    if let Some(missing) = missing()? {
        eprintln!("SKIPPED: the image is not run: {missing}");
        return Ok(());
    }
    let status = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(this_program())
        .arg("image-check-inside")
        .arg(fs::canonicalize(archive)?)
        .status()
        .context("cannot start unshare")?;
    if !status.success() {
        bail!("the image does not run as the manifests would have it");
    }
    Ok(())
}

fn missing() -> anyhow::Result<Option<String>> {
    let id = Command::new("id").arg("-u").output().context("cannot start id")?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(Some("only root can start containers here".to_owned()));
    }
    let mut programs = PROGRAMS.iter().filter(|(program, _)| !super::has_program(program));
    Ok(programs
        .next()
        .map(|(program, package)| format!("no {program} in PATH (Debian: apt-get install {package})")))
}

/// The check itself, inside the network namespace made for it.
pub fn inside(archive: &Path) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("flyball-image-").tempdir()?;
    let folder = folder.path();
    let image = folder.join("root");
    let architecture = unpack(archive, &image)?;
    let built = cluster::built("everything")?;

    let cluster = Cluster::start(&image.join("flyball"), folder)?;
    for kind in ["Namespace", "ServiceAccount", "Secret"] {
        for object in built.iter().filter(|object| object["kind"] == kind) {
            cluster.apply(object)?;
        }
    }
    cluster.apply(&workload_pod())?;
    let _names = NameServer::start(DNS_NAME)?;

    let seccomp = seccomp::runtime_default(&architecture)?;
    for (kind, name) in WORKLOADS {
        let found = built.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        let workload = found.with_context(|| format!("the overlay has no {kind} {name}"))?;
        let bundle = Bundle::of(workload)?;
        let node = node(folder, &image, &cluster, workload, &bundle, &seccomp)?;
        check(folder, name, &bundle, &node, &cluster).with_context(|| format!("{kind} {name}"))?;
    }
    println!("the image runs as the manifests say: {}", WORKLOADS.map(|(_, name)| name).join(", "));
    Ok(())
}

/// Unpacks the image of the archive; its architecture.
fn unpack(archive: &Path, root: &Path) -> anyhow::Result<String> {
    let layout = root.with_extension("layout");
    tar::Archive::new(fs::File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?)
        .unpack(&layout)?;
    let read = |path: &str| -> anyhow::Result<Vec<u8>> {
        fs::read(layout.join(path)).with_context(|| format!("the archive has no {path}"))
    };
    let blob = |descriptor: &Value| -> anyhow::Result<Vec<u8>> {
        read(&format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/")))
    };
    let index: Value = serde_json::from_slice(&read("index.json")?)?;
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])?)?;
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let bytes = blob(layer)?;
        match layer["mediaType"].as_str().is_some_and(|kind| kind.ends_with("gzip")) {
            true => tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(root)?,
            false => tar::Archive::new(bytes.as_slice()).unpack(root)?,
        }
    }
    fs::remove_dir_all(&layout)?;
    Ok(config["architecture"].as_str().unwrap_or_default().to_owned())
}

fn workload_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": WORKLOAD_POD, "namespace": "default"},
        "spec": {"containers": [{"name": "burn", "image": "flyball.io/burn"}]},
    })
}

/// What a kubelet would add: service account, files of Secrets, /etc/hosts and /etc/resolv.conf, environment.
fn node(
    folder: &Path,
    image: &Path,
    cluster: &Cluster,
    workload: &Value,
    bundle: &Bundle<'_>,
    seccomp: &Value,
) -> anyhow::Result<Node> {
    let namespace = workload["metadata"]["namespace"].as_str().context("a workload without a namespace")?;
    let name = workload["metadata"]["name"].as_str().context("a workload without a name")?;
    let account = workload["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let own = folder.join(name);
    let service_account = own.join("service-account");
    fs::create_dir_all(&service_account)?;
    fs::write(service_account.join("token"), cluster.token(namespace, account)?)?;
    fs::write(service_account.join("ca.crt"), &cluster.ca)?;
    fs::write(service_account.join("namespace"), namespace)?;

    let mut volumes = BTreeMap::new();
    for (volume, settings) in bundle.volumes("secret") {
        let path = own.join(volume);
        secret(&path, cluster, namespace, settings, bundle.files_group())?;
        volumes.insert(volume.to_owned(), path);
    }
    for (volume, settings) in bundle.volumes("projected") {
        let path = own.join(volume);
        fs::create_dir_all(&path)?;
        for source in settings["sources"].as_array().into_iter().flatten() {
            let file = source["serviceAccountToken"]["path"].as_str().context("a source that is no token")?;
            // The one-machine cluster knows no audiences.
            fs::write(path.join(file), cluster.token(namespace, account)?)?;
        }
        volumes.insert(volume.to_owned(), path);
    }
    for (volume, _) in bundle.volumes("emptyDir") {
        let path = own.join(volume);
        fs::create_dir_all(&path)?;
        std::os::unix::fs::chown(&path, Some(u32::try_from(bundle.user()?)?), None)?;
        volumes.insert(volume.to_owned(), path);
    }
    let hosts = own.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {HOSTS_NAME}\n"))?;
    let resolver = own.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")?;

    let (host, port) = cluster.address;
    let environment = BTreeMap::from([
        ("PATH".to_owned(), "/".to_owned()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()),
    ]);
    let fields = BTreeMap::from([
        ("metadata.namespace", namespace.to_owned()),
        ("metadata.name", format!("{name}-0")),
        ("spec.nodeName", cluster.node.clone()),
        ("status.podIP", BIND_ADDRESS.to_owned()),
    ]);
    Ok(Node {
        root: image.to_owned(),
        environment,
        fields,
        service_account,
        volumes,
        files: vec![("/etc/hosts", hosts), ("/etc/resolv.conf", resolver)],
        seccomp: seccomp.clone(),
    })
}

/// The files of a Secret, once it has all that the volume wants of it.
fn secret(
    path: &Path,
    cluster: &Cluster,
    namespace: &str,
    settings: &Value,
    group: Option<u64>,
) -> anyhow::Result<()> {
    let name = settings["secretName"].as_str().context("a Secret volume without a name")?;
    fs::create_dir_all(path)?;
    for item in settings["items"].as_array().into_iter().flatten() {
        let key = item["key"].as_str().context("an item without a key")?;
        let template = format!("{{{{index .data {key:?} | base64decode}}}}");
        let arguments = ["get", "secret", name, "-n", namespace, "-o", &format!("go-template={template}")];
        let text = eventually(&format!("{key} in Secret {namespace}/{name}"), || {
            let text = kubectl(&cluster.kubeconfig, &arguments)?;
            if text.starts_with("-----BEGIN") { Ok(text) } else { Err(anyhow!("it holds {text:?}")) }
        })?;
        let file = path.join(item["path"].as_str().unwrap_or(key));
        fs::write(&file, text)?;
        let mode = settings["defaultMode"].as_u64().unwrap_or(0o644);
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(u32::try_from(mode)?))?;
        let group = group.map(u32::try_from).transpose()?;
        std::os::unix::fs::chown(&file, Some(0), group)?;
    }
    Ok(())
}

fn check(
    folder: &Path,
    name: &str,
    bundle: &Bundle<'_>,
    node: &Node,
    cluster: &Cluster,
) -> anyhow::Result<()> {
    let short = |what: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let config = bundle.config(node, &arguments, &cgroup(name, what))?;
        Container::start(folder, &format!("{name}-{what}"), &config)?.finished()
    };
    let version = short("version", &["--version"])?;
    if !version.contains(env!("CARGO_PKG_VERSION")) {
        bail!("--version prints {version:?}");
    }
    let part = bundle.arguments(node)?.first().cloned().context("no arguments")?;
    short("help", &[&part, "--help"])?;
    for host in [HOSTS_NAME, DNS_NAME] {
        let kubeconfig = cluster.kubeconfig_by_name(host)?;
        fs::write(node.service_account.join("kubeconfig"), kubeconfig.to_string())?;
        let path = "/var/run/secrets/kubernetes.io/serviceaccount/kubeconfig";
        let nodes = short("names", &["top", "nodes", "--kubeconfig", path, "--no-headers"])
            .with_context(|| format!("the name {host} is not found"))?;
        if !nodes.contains(&cluster.node) {
            bail!("`flyball top nodes` by the name {host} prints {nodes:?}");
        }
    }
    println!("{name}: --version, --help, names from /etc/hosts and DNS");

    let mut arguments = bundle.arguments(node)?;
    arguments.push(format!("--bind-address={BIND_ADDRESS}"));
    let config = bundle.config(node, &arguments, &cgroup(name, "run"))?;
    let container = Container::start(folder, name, &config)?;
    let outcome = running(name, bundle, &container, node, cluster);
    if outcome.is_err() {
        eprintln!("{}", container.log());
    }
    outcome?;
    container.stop()?;
    println!("{name}: stopped with exit code 0");
    Ok(())
}

fn running(
    name: &str,
    bundle: &Bundle<'_>,
    container: &Container,
    node: &Node,
    cluster: &Cluster,
) -> anyhow::Result<()> {
    let mut server = String::new();
    for (probe, path, port) in bundle.probes()? {
        server = format!("https://{BIND_ADDRESS}:{port}");
        eventually(&format!("200 from {path} ({probe})"), || kubectl_at(&server, None, &path))?;
    }
    kernel_view(container, bundle)?;
    println!(
        "{name}: probes answer; held to user {}, no capabilities, seccomp, read-only root",
        bundle.user()?
    );
    if name == "flyball-collector" {
        let token = fs::read_to_string(node.service_account.join("token"))?;
        eventually("the collector measures a container of this machine by name", || {
            let text = kubectl_at(&server, Some(&token), "/metrics/resource")?;
            let missing = SERIES.into_iter().find(|(series, label)| {
                !text.lines().any(|line| line.starts_with(series) && line.contains(label))
            });
            missing.map_or(Ok(()), |(series, label)| Err(anyhow!("no {series} with {label} in:\n{text}")))
        })?;
        println!("{name}: measures node {} and container {WORKLOAD_POD}/burn", cluster.node);
    }
    Ok(())
}

/// What the kernel says of the process, whatever runc was told.
fn kernel_view(container: &Container, bundle: &Bundle<'_>) -> anyhow::Result<()> {
    let process = PathBuf::from("/proc").join(container.pid()?.to_string());
    let status = fs::read_to_string(process.join("status"))?;
    let user = bundle.user()?;
    let expected = [
        ("Uid", format!("{user} {user} {user} {user}")),
        ("CapEff", "0000000000000000".to_owned()),
        ("CapPrm", "0000000000000000".to_owned()),
        ("CapBnd", "0000000000000000".to_owned()),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
    ];
    for (field, value) in expected {
        let found = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let found = found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        if found != value {
            bail!("the kernel says {field} {found:?} of the process, not {value:?}");
        }
    }
    let mounts = fs::read_to_string(process.join("mountinfo"))?;
    for place in std::iter::once("/").chain(bundle.read_only_paths()) {
        let mount = mounts
            .lines()
            .rev()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|line| line[4] == place);
        let options = mount.map(|line| line[5].to_owned()).unwrap_or_default();
        if !options.split(',').any(|option| option == "ro") {
            bail!("{place} is not read-only in the container: {options:?}");
        }
    }
    Ok(())
}

fn cgroup(name: &str, what: &str) -> String {
    format!("/flyball-image-check-{}-{name}-{what}", std::process::id())
}
