//! Real kubectl against the API server, without controllers: every command whose result does not need one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "starts a server and programs")]

mod support;

use support::{Cluster, has_kubectl};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: flyball.io/host
        command: [sleep, inf]
        ports: [{containerPort: 8080}]
        resources: {limits: {cpu: 500m, memory: 1Gi}}
";

const HPA: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 5
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
";

fn columns(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_versions() {
    if !has_kubectl("discovery_and_versions") {
        return;
    }
    let cluster = Cluster::start().await;
    let version = cluster.kubectl(&["version"], "").await;
    assert!(version.contains("Server Version: v1.33.0+flyball"), "{version}");
    let resources = cluster.kubectl(&["api-resources"], "").await;
    let deployments = resources.lines().find(|line| line.starts_with("deployments")).unwrap();
    assert_eq!(columns(deployments), ["deployments", "deploy", "apps/v1", "true", "Deployment"]);
    let versions = cluster.kubectl(&["api-versions"], "").await;
    assert!(versions.contains("autoscaling/v1\nautoscaling/v2\n"), "{versions}");
    assert_eq!(cluster.kubectl(&["get", "--raw", "/readyz"], "").await, "ok");
    let raw = cluster.kubectl(&["get", "--raw", "/api/v1/namespaces/default"], "").await;
    assert!(raw.contains("\"phase\":\"Active\""), "{raw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_from_apply_to_delete() {
    if !has_kubectl("a_deployment_from_apply_to_delete") {
        return;
    }
    let cluster = Cluster::start().await;
    let apply = ["apply", "-f", "-"];
    assert_eq!(cluster.kubectl(&apply, DEPLOYMENT).await, "deployment.apps/web created\n");
    assert_eq!(cluster.kubectl(&apply, DEPLOYMENT).await, "deployment.apps/web unchanged\n");
    let changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3");
    assert_eq!(cluster.kubectl(&apply, &changed).await, "deployment.apps/web configured\n");
    let dry = ["apply", "--dry-run=server", "-f", "-"];
    assert_eq!(cluster.kubectl(&dry, DEPLOYMENT).await, "deployment.apps/web configured (server dry run)\n");

    let path = "{.spec.replicas} {.spec.template.spec.containers[0].resources.limits} {.metadata.generation}";
    let jsonpath = format!("jsonpath={path}");
    let seen = cluster.kubectl(&["get", "deploy", "web", "-o", &jsonpath], "").await;
    assert_eq!(seen, r#"3 {"cpu":"500m","memory":"1Gi"} 2"#);
    let wide = cluster.kubectl(&["get", "deploy", "-o", "wide"], "").await;
    let header: Vec<&str> = columns(wide.lines().next().unwrap());
    assert_eq!(
        header,
        ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    );
    let yaml = cluster.kubectl(&["get", "deploy", "web", "-o", "yaml"], "").await;
    assert!(yaml.contains("revisionHistoryLimit: 10"), "{yaml}");
    assert!(cluster.kubectl(&["get", "all", "-A"], "").await.contains("deployment.apps/web"));

    cluster.kubectl(&["scale", "deploy/web", "--replicas=4"], "").await;
    cluster.kubectl(&["set", "image", "deploy/web", "web=flyball.io/burn"], "").await;
    cluster.kubectl(&["set", "env", "deploy/web", "A=1"], "").await;
    cluster.kubectl(&["set", "resources", "deploy/web", "--limits=cpu=200m"], "").await;
    cluster.kubectl(&["label", "deploy/web", "tier=front"], "").await;
    cluster.kubectl(&["annotate", "deploy/web", "note=x"], "").await;
    cluster.kubectl(&["rollout", "restart", "deploy/web"], "").await;
    cluster.kubectl(&["patch", "deploy/web", "-p", r#"{"spec":{"paused":true}}"#], "").await;
    let merge = ["patch", "deploy/web", "--type=merge", "-p", r#"{"spec":{"paused":false}}"#];
    cluster.kubectl(&merge, "").await;
    let json = [
        "patch",
        "deploy/web",
        "--type=json",
        "-p",
        r#"[{"op":"replace","path":"/spec/replicas","value":1}]"#,
    ];
    cluster.kubectl(&json, "").await;
    let path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.labels.tier}";
    assert_eq!(cluster.kubectl(&["get", "deploy", "web", "-o", path], "").await, "1 flyball.io/burn front");
    let described = cluster.kubectl(&["describe", "deploy", "web"], "").await;
    assert!(described.contains("StrategyType:           RollingUpdate"), "{described}");
    assert_eq!(
        cluster.kubectl(&["get", "deploy", "-l", "tier=front", "-o", "name"], "").await,
        "deployment.apps/web\n"
    );
    assert_eq!(cluster.kubectl(&["delete", "deploy", "web"], "").await, "deployment.apps \"web\" deleted\n");
    let (success, _, stderr) = cluster.try_kubectl(&["get", "deploy", "web"], "").await;
    assert!(!success);
    assert_eq!(stderr, "Error from server (NotFound): deployments.apps \"web\" not found\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn create_commands() {
    if !has_kubectl("create_commands") {
        return;
    }
    let cluster = Cluster::start().await;
    cluster.kubectl(&["create", "ns", "team"], "").await;
    cluster.kubectl(&["create", "deployment", "web", "--image=flyball.io/host", "-n", "team"], "").await;
    cluster.kubectl(&["create", "cm", "settings", "--from-literal=a=1", "-n", "team"], "").await;
    cluster.kubectl(&["create", "secret", "generic", "key", "--from-literal=a=1", "-n", "team"], "").await;
    cluster.kubectl(&["create", "sa", "robot", "-n", "team"], "").await;
    cluster.kubectl(&["expose", "deployment", "web", "--port=80", "-n", "team"], "").await;
    cluster
        .kubectl(&["autoscale", "deployment", "web", "--max=3", "--cpu-percent=60", "-n", "team"], "")
        .await;
    cluster.kubectl(&["run", "one", "--image=flyball.io/host", "-n", "team"], "").await;
    let hpa = cluster.kubectl(&["get", "hpa", "-n", "team"], "").await;
    let row = columns(hpa.lines().nth(1).unwrap());
    assert_eq!(row[..6], ["web", "Deployment/web", "cpu:", "<unknown>/60%", "1", "3"]);
    let v1 = "/apis/autoscaling/v1/namespaces/team/horizontalpodautoscalers/web";
    let v1 = cluster.kubectl(&["get", "--raw", v1], "").await;
    assert!(v1.contains("\"targetCPUUtilizationPercentage\":60"), "{v1}");
    for kind in [
        "cm",
        "secrets",
        "sa",
        "svc",
        "pods",
        "nodes",
        "events",
        "leases",
        "endpointslices",
        "ns",
        "apiservices",
    ] {
        let (success, _, stderr) = cluster.try_kubectl(&["get", kind, "-n", "team", "-o", "wide"], "").await;
        assert!(success, "{kind}: {stderr}");
    }
    for object in ["svc/web", "pod/one", "hpa/web", "cm/settings", "secret/key", "sa/robot", "ns/team"] {
        cluster.kubectl(&["describe", object, "-n", "team"], "").await;
    }
    let token = cluster.kubectl(&["create", "token", "robot", "-n", "team"], "").await;
    let server = format!("--server=https://{}", cluster.address);
    let arguments =
        ["--kubeconfig=/dev/null", "--insecure-skip-tls-verify", &server, "--token", token.trim()];
    let who = cluster.kubectl(&[&arguments[..], &["auth", "can-i", "get", "pods"]].concat(), "").await;
    assert_eq!(who, "yes\n");
    cluster.kubectl(&["delete", "ns", "team"], "").await;
    assert!(cluster.registry.list(&flyball_local::registry::kinds::SECRETS, Some("team")).items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_object_and_the_field() {
    if !has_kubectl("refusals_name_the_object_and_the_field") {
        return;
    }
    let cluster = Cluster::start().await;
    let apply = ["apply", "-f", "-"];
    let check = async |input: String, expected: &str| {
        let (success, _, stderr) = cluster.try_kubectl(&apply, &input).await;
        assert!(!success && stderr.contains(expected), "{stderr}\n{expected}");
    };
    check(
        DEPLOYMENT.replace("replicas:", "replcias:"),
        "strict decoding error: unknown field \"spec.replcias\"",
    )
    .await;
    check(
        DEPLOYMENT.replace("replicas: 2", "replicas: two"),
        "Deployment in version \"v1\" cannot be handled as a Deployment: spec.replicas: invalid type",
    )
    .await;
    check(
        DEPLOYMENT.replace("metadata: {labels: {app: web}}", "metadata: {labels: {app: other}}"),
        "The Deployment \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: \
         `selector` does not match template `labels`",
    )
    .await;
    check(HPA.replace("maxReplicas: 5", "maxReplicas: 0"), "* spec.maxReplicas: Required value").await;
    cluster.kubectl(&apply, DEPLOYMENT).await;
    let (_, _, stderr) = cluster.try_kubectl(&["create", "-f", "-"], DEPLOYMENT).await;
    assert_eq!(
        stderr,
        "Error from server (AlreadyExists): error when creating \"STDIN\": deployments.apps \"web\" already exists\n"
    );
    let (_, _, stderr) = cluster.try_kubectl(&["get", "pods", "-n", "nowhere"], "").await;
    assert_eq!(stderr, "No resources found in nowhere namespace.\n");
    let (_, _, stderr) = cluster.try_kubectl(&["create", "cm", "x", "-n", "nowhere"], "").await;
    assert_eq!(stderr, "error: failed to create configmap: namespaces \"nowhere\" not found\n");
    let warned = ["apply", "--validate=warn", "-f", "-"];
    let (success, _, stderr) =
        cluster.try_kubectl(&warned, &HPA.replace("spec:", "spec:\n  colour: red")).await;
    assert!(success);
    assert_eq!(stderr, "Warning: unknown field \"spec.colour\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_and_waiting() {
    if !has_kubectl("watching_and_waiting") {
        return;
    }
    let cluster = Cluster::start().await;
    cluster.kubectl(&["create", "cm", "first"], "").await;
    let mut watch = cluster.command(&["get", "cm", "-w", "--no-headers"]);
    watch.stdout(std::process::Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let read = move || (lines.next().unwrap().unwrap(), lines);
    let (first, mut lines) = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(first.starts_with("first"), "{first}");
    cluster.kubectl(&["create", "cm", "second"], "").await;
    let second = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap()).await.unwrap();
    assert!(second.starts_with("second"), "{second}");
    watch.kill().unwrap();
    watch.wait().unwrap();

    cluster.kubectl(&["apply", "-f", "-"], DEPLOYMENT).await;
    let wait = ["wait", "--for=jsonpath={.spec.replicas}=2", "deploy/web", "--timeout=10s"];
    cluster.kubectl(&wait, "").await;
    let deleted = ["wait", "--for=delete", "deploy/web", "--timeout=20s"];
    let (gone, _) =
        tokio::join!(cluster.kubectl(&deleted, ""), cluster.kubectl(&["delete", "deploy", "web"], ""));
    assert!(gone.contains("condition met") || gone.is_empty(), "{gone}");
    let deployment =
        cluster.registry.get(&flyball_local::registry::kinds::NAMESPACES, "", "default").unwrap();
    cluster.registry.record_event(&deployment, "Normal", "Tested", "it works", "test");
    let events = cluster.kubectl(&["events"], "").await;
    assert!(events.contains("it works"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_quantities_are_stored_in_their_canonical_form() {
    if !has_kubectl("odd_quantities_are_stored_in_their_canonical_form") {
        return;
    }
    let cluster = Cluster::start().await;
    let odd = DEPLOYMENT.replace("cpu: 500m, memory: 1Gi", "cpu: 0.5, memory: 1024Mi");
    cluster.kubectl(&["apply", "-f", "-"], &odd).await;
    let path = "jsonpath={.spec.template.spec.containers[0].resources.limits}";
    assert_eq!(
        cluster.kubectl(&["get", "deploy", "web", "-o", path], "").await,
        r#"{"cpu":"500m","memory":"1Gi"}"#
    );
}
