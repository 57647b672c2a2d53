//! A Prometheus of the smallest kind: one metric, which every object has that a query names.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::{Value, json};

/// Name of the metric.
pub const METRIC: &str = "any";

/// Labels that name objects.
const LABELS: [&str; 14] = [
    "namespace",
    "pod",
    "service",
    "node",
    "persistentvolumeclaim",
    "persistentvolume",
    "deployment",
    "replicaset",
    "statefulset",
    "daemonset",
    "job_name",
    "cronjob",
    "ingress",
    "exported_job",
];

/// Longest head of a request.
const HEAD_LIMIT: usize = 64 * 1024;

/// Answers until the tests end.
pub fn serve(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // Whoever breaks off asks again.
            std::thread::spawn(move || drop(answer(socket)));
        }
    });
}

fn answer(mut socket: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, body) = match path.rsplit('/').next() {
        Some("series") => {
            let labels = LABELS.iter().map(|label| ((*label).to_owned(), json!("x")));
            let mut series: serde_json::Map<String, Value> = labels.collect();
            series.insert("__name__".to_owned(), json!(METRIC));
            ("200 OK", json!({"status": "success", "data": [series]}))
        }
        Some("query") => match vector(&flyball_apiserver::Query::parse(query)) {
            Some(result) => {
                let data = json!({"resultType": "vector", "result": result});
                ("200 OK", json!({"status": "success", "data": data}))
            }
            None => {
                let error =
                    json!({"status": "error", "errorType": "execution", "error": "it names no object"});
                ("422 Unprocessable Entity", error)
            }
        },
        _ => ("200 OK", json!({"status": "success", "data": {}})),
    };
    let body = body.to_string();
    write!(
        socket,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )
}

/// A value of each object that the query names by the label it groups by.
fn vector(query: &flyball_apiserver::Query) -> Option<Vec<Value>> {
    let text = query.first("query")?;
    let label = text.split("by (").nth(1)?.split(')').next()?;
    let named = text.split(label).find_map(|rest| {
        let value = rest.strip_prefix("=~").or_else(|| rest.strip_prefix('='))?;
        value.strip_prefix('"')?.split('"').next()
    })?;
    let time: f64 = query.first("time")?.parse().ok()?;
    let names = named.replace("\\\\", "");
    let one = |name: &str| json!({"metric": {label: name}, "value": [time, "1"]});
    (names != ".+").then(|| names.split('|').map(one).collect())
}

#[test]
fn objects_that_are_named_have_a_value() {
    let ask = |text: &str| vector(&flyball_apiserver::Query::parse(&format!("time=5&query={text}")));
    let found = ask("sum(any{namespace=\"a\",pod=~\"x|y\\\\.z\"})%20by%20(pod)").expect("names");
    assert_eq!((found.len(), &found[1]["metric"]["pod"]), (2, &json!("y.z")));
    assert_eq!(ask("sum(any{node=\"n\"})%20by%20(node)").expect("a name").len(), 1);
    assert!(ask("sum(any{namespace=~\".%2B\",pod=~\".%2B\"})%20by%20(pod)").is_none());
}
