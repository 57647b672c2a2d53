//! What both are asked.

use super::ask::{Person, Question};
use super::sides::People;

const BASE: &str = "/apis/metrics.k8s.io/v1beta1";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn at(path: &str) -> Question {
    Question::get(&format!("{BASE}/{path}"))
}

/// Good questions.
pub fn objects() -> Vec<Question> {
    let paths = [
        "nodes",
        "nodes/",
        "nodes/sim-0",
        "pods",
        "namespaces/shop/pods",
        "namespaces/shop/pods/",
        "namespaces/shop/pods/web-0",
        "namespaces/nowhere/pods",
    ];
    let view = |base: &str, kind: &str, version: &str| format!("{base};as={kind};v={version};g=meta.k8s.io");
    let accepts = [
        "application/json".to_owned(),
        "*/*".to_owned(),
        "application/*".to_owned(),
        "application/yaml".to_owned(),
        PROTOBUF.to_owned(),
        format!("{PROTOBUF}, */*"),
        format!("{PROTOBUF},application/json"),
        "application/json;q=0.4, application/yaml;q=0.5".to_owned(),
        "application/json;profile=nopeer".to_owned(),
        "application/json;pretty=1".to_owned(),
        TABLE.to_owned(),
        view("application/json", "Table", "v1beta1"),
        view("application/yaml", "Table", "v1"),
        format!("{TABLE},{},application/json", view("application/json", "Table", "v1beta1")),
        view("application/json", "PartialObjectMetadata", "v1"),
        view("application/json", "PartialObjectMetadataList", "v1"),
        view("application/json", "PartialObjectMetadataList", "v1beta1"),
        view(PROTOBUF, "PartialObjectMetadata", "v1"),
        view(PROTOBUF, "PartialObjectMetadataList", "v1"),
        view(PROTOBUF, "Table", "v1"),
        "text/html".to_owned(),
        "application/cbor".to_owned(),
        "application/json;as=Other;v=v1;g=meta.k8s.io".to_owned(),
        "application/json;stream=other".to_owned(),
        "application/json;q=0".to_owned(),
        "text/html, */*;q=0".to_owned(),
        "*".to_owned(),
        view(PROTOBUF, "PartialObjectMetadataList", "v1beta1"),
    ];
    let mut all: Vec<Question> = paths.iter().map(|path| at(path).timed()).collect();
    for path in [
        "nodes",
        "nodes/sim-0",
        "namespaces/shop/pods",
        "namespaces/shop/pods/web-0",
        "namespaces/nowhere/pods",
    ] {
        all.extend(accepts.iter().map(|accept| at(path).accept(accept).timed()));
    }
    let queries = [
        "nodes?labelSelector=zone%3Da",
        "nodes?fieldSelector=metadata.name%3Dsim-1",
        "nodes?fieldSelector=metadata.namespace%3D",
        "nodes?fieldSelector=metadata.namespace%3Dx",
        "nodes?pretty=true",
        "nodes?resourceVersion=any",
        "nodes?timeoutSeconds=5",
        "nodes?watch=false",
        "nodes?unknown=1",
        "pods?labelSelector=app%3Dweb",
        "pods?labelSelector=app%3D%3Dweb",
        "pods?labelSelector=app!%3Dweb",
        "pods?labelSelector=app%20in%20(web,db)",
        "pods?labelSelector=app%20notin%20(web)",
        "pods?labelSelector=app",
        "pods?labelSelector=!app",
        "pods?labelSelector=app,tier%3D1",
        "pods?labelSelector=tier%3E0",
        "pods?labelSelector=tier%20gt%200",
        "pods?labelSelector=",
        "pods?labelSelector=app%3D",
        "pods?labelSelector=app%20in%20()",
        "nodes?fieldSelector=%3D",
        "nodes?limit=0",
        "nodes?limit=-1",
        "nodes?resourceVersion=1&resourceVersionMatch=NotOlderThan",
        "pods?labelSelector=a%3Db&labelSelector=app%3Dweb",
        "pods?fieldSelector=metadata.name%3Dweb-0",
        "pods?fieldSelector=metadata.name!%3Dweb-0,metadata.namespace%3D%3Dshop",
        "pods?fieldSelector=metadata.namespace%3Dshop",
        "namespaces/shop/pods?fieldSelector=metadata.namespace%3Dother",
        "namespaces/shop/pods/web-0?fieldSelector=metadata.name%3Dother",
        "namespaces/shop/pods/web-0?watch=true",
        "nodes/sim-0?pretty=true",
        "nodes/sim-0?export=false",
    ];
    all.extend(queries.iter().map(|path| at(path).timed()));
    for include in ["None", "Metadata", "Object", "All", ""] {
        all.push(at(&format!("nodes?includeObject={include}")).accept(TABLE).timed());
    }
    for agent in ["curl/8.5", "Wget/1.2", "Mozilla/5.0 (X11)", "kubectl/v1.32"] {
        all.push(at("nodes/sim-0").header(&format!("User-Agent: {agent}")).timed());
    }
    let one = |question: Question| Question { http1: true, ..question };
    all.push(one(at("namespaces/shop/pods").timed()));
    all
}

/// Questions with a refusal for an answer.
pub fn refusals() -> Vec<Question> {
    let paths = [
        "nodes/nope",
        "namespaces/shop/pods/nope",
        "namespaces/nowhere/pods/nope",
        "other",
        "other/x",
        "nodes/sim-0/status",
        "nodes/sim-0/proxy",
        "namespaces/shop",
        "namespaces/shop/nodes",
        "pods/web-0",
        "watch/nodes",
        "watch/namespaces/shop/pods",
        "nodes?labelSelector=a%3D%3D%3Db",
        "nodes?labelSelector=%25",
        "nodes?labelSelector=a%20b",
        "nodes?labelSelector=-a",
        "nodes?labelSelector=a%20in%20b",
        "nodes?labelSelector=a%3E1.5",
        "nodes?fieldSelector=spec.nodeName%3Dn1",
        "nodes?fieldSelector=nonsense",
        "pods?fieldSelector=status.phase%3DRunning",
        "pods?timeoutSeconds=x",
        "pods?limit=x",
        "pods?resourceVersionMatch=Exact",
        "pods?sendInitialEvents=true",
        "pods?watch=maybe&sendInitialEvents=true",
        "nodes/sim-0?export=true",
        "nodes?limit=",
        "nodes?timeoutSeconds",
        "nodes?timeoutSeconds=99999999999999999999",
        "nodes?resourceVersionMatch=x",
        "nodes?resourceVersion=0&resourceVersionMatch=Exact",
        "nodes?resourceVersion=1&resourceVersionMatch=Exact&continue=x",
        "nodes?sendInitialEvents=",
        "nodes?watch=true&sendInitialEvents=true",
        "nodes?watch=true&resourceVersionMatch=x",
        "nodes?watch=true&continue=x",
        "nodes?fieldSelector=%3Dx",
    ];
    let mut all: Vec<Question> = paths.iter().map(|path| at(path)).collect();
    let elsewhere = [
        "/apis/metrics.k8s.io/v2",
        "/apis/metrics.k8s.io/v2/nodes",
        "/apis/metrics.k8s.io/v1alpha1/pods",
        "/apis/other.k8s.io/v1/x",
        "/api/v1/pods",
        "/apis/metrics.k8s.io/v1beta1/nodes/a%2Fb",
        "/apis/metrics.k8s.io/v1beta1/nodes/a%20b",
    ];
    all.extend(elsewhere.iter().map(|path| Question::get(path)));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "ODD"] {
        for path in ["nodes", "nodes/sim-0", "namespaces/shop/pods", "namespaces/shop/pods/web-0"] {
            all.push(Question { method, ..at(path) });
        }
    }
    for accept in ["application/yaml", PROTOBUF, TABLE, "text/html"] {
        all.extend([at("nodes/nope").accept(accept), at("nodes?fieldSelector=x%3Dy").accept(accept)]);
    }
    all.push(at("nodes/nope").header("User-Agent: curl/8.5"));
    all
}

/// The same question from all kinds of callers.
pub fn callers(people: &People) -> Vec<Question> {
    let questions = || {
        vec![
            at("namespaces/nowhere/pods"),
            at("nodes/nope"),
            at("namespaces/nowhere/pods?fieldSelector=metadata.name%3Dq"),
            Question::get("/metrics/none"),
            Question::get("/livez"),
            Question::get("/readyz/ping"),
        ]
    };
    let by = |person: Person, headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        questions()
            .into_iter()
            .map(move |question| Question { headers: headers.clone(), ..question.by(person.clone()) })
            .collect::<Vec<_>>()
    };
    let certificate = |name: &str| Person::Certificate(people.file(name));
    let all = [
        by(Person::Nobody, &[]),
        by(Person::Nobody, &["X-Remote-User: admin", "X-Remote-Group: system:masters"]),
        by(Person::Nobody, &["Authorization: Bearer good"]),
        by(Person::Nobody, &["Authorization: Bearer bad"]),
        by(Person::Nobody, &["Authorization: Bearer other-audience"]),
        by(Person::Nobody, &["Authorization: Bearer down"]),
        by(Person::Nobody, &["Authorization: Basic YTpi"]),
        by(certificate("reader"), &[]),
        by(certificate("stranger"), &[]),
        by(certificate("stranger"), &["X-Remote-User: admin", "X-Remote-Group: system:masters"]),
        by(certificate("other-ca"), &[]),
        by(certificate("expired"), &[]),
        by(certificate("expired"), &["Authorization: Bearer good"]),
        by(certificate("front-proxy"), &[]),
        by(certificate("front-proxy"), &["X-Remote-User: reader"]),
        by(
            certificate("front-proxy"),
            &["X-Remote-User: stranger", "X-Remote-Group: a", "X-Remote-Group: system:masters"],
        ),
        by(
            certificate("front-proxy"),
            &["X-Remote-User: extra", "X-Remote-Extra-Example.Com%2fKey: v", "X-Remote-Uid: 7"],
        ),
        by(certificate("wrong-proxy"), &["X-Remote-User: reader"]),
        by(certificate("reader"), &["Impersonate-User: other"]),
        by(certificate("admin"), &["Impersonate-User: stranger"]),
        by(certificate("admin"), &["Impersonate-Group: g"]),
        by(certificate("undecided"), &[]),
    ];
    all.concat()
}

/// Lists above the size from which answers are compressed.
pub fn large() -> Vec<Question> {
    let list = || at("namespaces/many/pods").timed();
    vec![
        list(),
        list().header("Accept-Encoding: gzip"),
        list().header("Accept-Encoding: deflate, gzip"),
        list().header("Accept-Encoding: gzip;q=1"),
        list().header("Accept-Encoding: gzip").accept("application/yaml"),
    ]
}

/// Documents of discovery, which differ in what they list: only their forms can be compared.
pub fn discovery() -> Vec<Question> {
    let aggregated = |base: &str| format!("{base};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let accepts = [
        "*/*".to_owned(),
        "application/*".to_owned(),
        "application/json".to_owned(),
        "application/yaml".to_owned(),
        PROTOBUF.to_owned(),
        format!("{PROTOBUF},application/json"),
        "text/html".to_owned(),
        TABLE.to_owned(),
        aggregated("application/json"),
        aggregated("application/yaml"),
        aggregated(PROTOBUF),
        aggregated("application/json").replace("v=v2", "v=v2beta1"),
        format!("{};profile=nopeer,application/json", aggregated("application/json")),
    ];
    let paths = ["/apis", "/apis/metrics.k8s.io", BASE, "/version", "/api"];
    let by_accept =
        paths.iter().flat_map(|path| accepts.iter().map(|accept| Question::get(path).accept(accept)));
    let by_method = ["HEAD", "POST", "DELETE"]
        .into_iter()
        .flat_map(|method| paths[..4].iter().map(move |path| Question { method, ..Question::get(path) }));
    by_accept.chain(by_method).collect()
}

/// Probes.
pub fn probes() -> Vec<Question> {
    let paths = [
        "/livez",
        "/readyz",
        "/healthz",
        "/livez?verbose",
        "/readyz?verbose",
        "/healthz?verbose",
        "/readyz?verbose&exclude=ping",
        "/readyz?exclude=ping",
        "/livez?verbose&exclude=none",
        "/readyz/ping",
        "/readyz/metric-storage-ready",
        "/livez/metric-collection-timely",
        "/healthz/log",
    ];
    let with = |method| paths.iter().map(move |path| Question { method, ..Question::get(path) });
    with("GET").chain(with("HEAD")).collect()
}

/// Commands of kubectl.
pub fn kubectl() -> Vec<&'static str> {
    vec![
        "top nodes",
        "top node sim-0",
        "top nodes -l zone=a",
        "top nodes -l zone=nowhere",
        "top node sim-0 -l zone=a",
        "top nodes --sort-by=cpu",
        "top nodes --sort-by=memory",
        "top nodes --sort-by=name",
        "top nodes --no-headers",
        "top nodes --show-capacity",
        "top nodes --show-swap",
        "top nodes --use-protocol-buffers=false",
        "top node nope",
        "top pods",
        "top pods -A",
        "top pods -A --containers --sort-by=memory",
        "top pods -A --sum --no-headers",
        "top pods -A -l app=web --sort-by=cpu",
        "top pods -A --field-selector=metadata.namespace=shop",
        "top pods -n shop",
        "top pods -n shop --containers",
        "top pods -n shop --containers --sum",
        "top pods -n shop --containers --sort-by=cpu",
        "top pods -n shop --sum",
        "top pods -n shop --no-headers",
        "top pods -n shop --show-swap",
        "top pods -n shop --use-protocol-buffers=false",
        "top pods -n shop --sort-by=cpu",
        "top pods -n shop --sort-by=memory",
        "top pods -n shop --sort-by=name",
        "top pods -n shop --field-selector=metadata.name=web-0",
        "top pods -n shop --field-selector=metadata.name!=web-0",
        "top pods -n shop --field-selector=spec.nodeName=sim-0",
        "top pods -n shop --field-selector=status.phase=Running",
        "top pods -n shop -l app=web",
        "top pods -n shop -l app!=web",
        "top pods -n shop -l tier",
        "top pods -n shop -l app=none",
        "top pods -n shop -l app==,",
        "top pod web-0 -n shop",
        "top pod web-1 -n shop --containers",
        "top pod web-1 -n shop --containers --no-headers",
        "top pod web-0 -n shop -l app=web",
        "top pod web-0 -A",
        "top pod nope -n shop",
        "top pods -n nowhere",
        "get podmetrics -n shop",
        "get podmetrics -n shop -l app=web --no-headers",
        "get pods.metrics.k8s.io -n shop -o name",
        "get nodes.metrics.k8s.io",
        "get nodes.metrics.k8s.io --sort-by=.metadata.name -o name",
        "get podmetrics web-0 -n shop -o jsonpath={.containers[*].name}",
        "get podmetrics -n nowhere",
        "get --raw /apis/metrics.k8s.io/v1beta1/namespaces/nowhere/pods",
    ]
}
