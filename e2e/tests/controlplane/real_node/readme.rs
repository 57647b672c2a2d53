//! The README's section on installing, followed line by line, and the example of `deploy/` scaled by what it installed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE, eventually};

use super::with_image;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The name under which the README pushes the image.
const PUSHED: &str = "registry.example.com/flyball:0.1.0";

/// Longest time of one block of commands: images are there, so it is pods that are waited for.
const BLOCK_LIMIT: Duration = Duration::from_secs(300);

/// First usage after the example's pods started, the autoscaler's look for other loops (27 s), and new pods.
const SCALE_LIMIT: Duration = Duration::from_secs(150);

/// The shell blocks of a section of the README.
fn blocks(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).expect("the README is read");
    let (_, section) = readme.split_once(heading).unwrap_or_else(|| panic!("the README has no {heading:?}"));
    let section = section.split("\n## ").next().unwrap_or(section);
    let blocks = section.split("```sh\n").skip(1);
    blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned())).collect()
}

/// The one block that holds this text.
fn block<'a>(blocks: &'a [String], text: &str) -> &'a str {
    let found: Vec<_> = blocks.iter().filter(|block| block.contains(text)).collect();
    assert_eq!(found.len(), 1, "blocks with {text:?}: {found:?}");
    found[0]
}

/// Runs a block as a user would paste it, in a folder that has `deploy/`; returns what it printed.
fn paste(plane: &Plane, block: &str) -> String {
    let folder = plane.folder().join("readme");
    if !folder.exists() {
        std::fs::create_dir(&folder).expect("a folder is made");
        std::os::unix::fs::symlink(format!("{ROOT}/deploy"), folder.join("deploy"))
            .expect("deploy/ is there");
    }
    let mut command = Command::new("sh");
    let path =
        format!("{}:{}", plane.folder().join("bin").display(), std::env::var("PATH").expect("PATH is set"));
    command
        .args(["-exuc", block])
        .current_dir(&folder)
        .env("KUBECONFIG", plane.admin_kubeconfig())
        .env("HOME", &folder)
        .env("PATH", path);
    let finished = flyball_e2e::run(command, "", BLOCK_LIMIT);
    if !finished.success() {
        let system = plane.admin().in_namespace("flyball-system").state();
        let collector = plane.admin().in_namespace("flyball-collector").state();
        panic!("{finished}\n{system}\n{collector}");
    }
    println!("{finished}");
    finished.stdout
}

/// One request to the example's server.
fn request(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((address, 8080))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: burn\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// The addresses of the example's ready pods.
fn addresses(kubectl: &Kubectl) -> Vec<String> {
    let slices = kubectl.json(&["get", "endpointslices", "--selector", "kubernetes.io/service-name=burn"]);
    let endpoints = slices["items"].as_array().into_iter().flatten().flat_map(|slice| {
        slice["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
    });
    endpoints.filter_map(|endpoint| Some(endpoint["addresses"][0].as_str()?.to_owned())).collect()
}

/// Sends requests to every ready pod until the HPA wants more than one.
fn load_until_scaled(kubectl: &Kubectl) {
    kubectl.eventually(SCALE_LIMIT, "the example is scaled out", || {
        for address in addresses(kubectl) {
            // About 50 in a second or more: five times what one pod may do. Some are refused while pods come and go.
            let refused = (0..50).filter(|_| request(&address).is_err()).count();
            if refused == 50 {
                return Err(format!("nobody answers at {address}"));
            }
        }
        let hpa = kubectl.json(&["get", "hpa", "burn"]);
        let wanted = hpa["status"]["desiredReplicas"].as_i64().unwrap_or(0);
        if wanted > 1 { Ok(()) } else { Err(hpa["status"].to_string()) }
    });
}

#[test]
fn the_install_section_as_it_stands() {
    let Some(plane) = with_image() else { return };
    let image = plane.image().expect("there is an image");
    // What a push and a pull would do.
    let tagged = plane.ctr(&["images", "tag", &image, PUSHED]);
    assert!(tagged.success(), "{tagged}");
    let blocks = blocks("## Install in a cluster");
    paste(&plane, block(&blocks, "mkdir -p my-cluster"));
    let shown = paste(&plane, block(&blocks, "kubectl apply -k my-cluster"));
    assert!(shown.contains("CPU(cores)") && shown.contains("flyball-hpa"), "{shown}");
    let kubectl = plane.admin().in_namespace("default");
    for part in ["deployment/flyball-metrics-server", "deployment/flyball-hpa"] {
        let pods = plane.admin().in_namespace("flyball-system").ok(&[
            "get",
            part,
            "--output",
            "jsonpath={.status.readyReplicas}",
        ]);
        assert_eq!(pods, "1", "{part}");
    }

    paste(&plane, block(&blocks, "kubectl apply -k deploy/examples"));
    kubectl.eventually_available(MINUTE, "burn", 1);
    load_until_scaled(&kubectl);
    let replicas = |name: &str| kubectl.json(&["get", "deployment", name])["spec"]["replicas"].clone();
    let before = replicas("burn");

    paste(&plane, block(&blocks, "kubectl delete -k my-cluster"));
    assert_eq!(replicas("burn"), before, "uninstalling scales nothing");
    eventually(
        MINUTE,
        "nothing of Flyball is left",
        || plane.state(),
        || {
            let left = plane.admin().ok(&[
                "get",
                "namespaces,clusterroles,clusterrolebindings,apiservices",
                "--output",
                "name",
            ]);
            let left: Vec<_> = left
                .lines()
                .filter(|name| name.contains("flyball") || name.contains("metrics.k8s.io"))
                .collect();
            if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
        },
    );
}
