//! Servers behind the adapter that are friendly, strange and hostile.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests with servers of their own")]

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use common::{NOW_MS, SERIES, Simulated, memory};
use flyball_adapter::backends::{
    Answer, Backend as _, BackendError, ClientCertificate, HttpSettings, Pem, Prometheus, Token, Verb,
};
use flyball_apiserver::certs::CertificateAuthority;
use flyball_model::labels::Labels;
use flyball_tsdb::series::Point;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn at(url: &str) -> HttpSettings {
    HttpSettings::new(url).unwrap()
}

fn asked(settings: HttpSettings) -> Prometheus {
    Prometheus::new("prom", settings)
}

/// A client as one of an API server.
fn api_server(url: &str) -> kube::Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    config.auth_info.token = Some("kubeconfig".to_owned().into());
    kube::Client::try_from(config).unwrap()
}

/// A server that answers every request with these bytes, and keeps the connection open.
async fn canned(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { answer_all(stream, &answer).await });
        }
    });
    url
}

async fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let mut request = vec![0; 1 << 16];
    while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn http_answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

async fn values(backend: &Prometheus, query: &str) -> Vec<f64> {
    match backend.query(query, NOW_MS).await.unwrap() {
        Answer::Vector { samples, .. } => samples.iter().map(|sample| sample.value).collect(),
        Answer::Scalar { value, .. } => vec![value],
    }
}

#[tokio::test]
async fn behind_an_api_server_with_its_credentials() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulated = Simulated::of(SERIES).await;
    let backend = asked(HttpSettings::behind_api_server(api_server(&simulated.url), "/apis/x/api/v1/"));
    assert_eq!(values(&backend, "sum(queue_depth)").await, [1500.0]);
    let names = vec!["a-very-long-name-of-a-pod"; 500].join("|");
    let long = format!("count(http_requests_total{{pod=~\"{names}|cart-1\"}})");
    assert_eq!(values(&backend, &long).await, [3.0]);
    let found = backend.discover("{__name__=\"queue_depth\"}", 0).await.unwrap();
    assert!(found.contains_key("queue_depth"), "{found:?}");
    let asked_for = simulated.asked.lock().unwrap().clone();
    let paths: Vec<_> = asked_for.iter().map(|one| (one.method.as_str(), one.path.as_str())).collect();
    assert_eq!(paths, [("GET", "query"), ("POST", "query"), ("GET", "series")]);
    assert!(asked_for.iter().all(|one| one.headers["authorization"] == "Bearer kubeconfig"));
    let nobody = asked(HttpSettings::behind_api_server(api_server("http://127.0.0.1:1"), "/apis/x"));
    let error = nobody.query("1", NOW_MS).await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn queries_by_both_verbs_and_long_ones_as_forms() {
    let simulated = Simulated::of(SERIES).await;
    for verb in [Verb::Get, Verb::Post] {
        let mut settings = at(&format!("{}/prefix/", simulated.url));
        settings.verb = verb;
        settings.header("X-Scope-OrgID", "team").unwrap();
        settings.token = Token::Fixed("secret".into());
        let backend = asked(settings);
        assert_eq!(values(&backend, "sum(queue_depth)").await, [1500.0]);
        let names = vec!["a-very-long-name-of-a-pod"; 500].join("|");
        assert_eq!(
            values(&backend, &format!("count(http_requests_total{{pod=~\"{names}|cart-1\"}})")).await,
            [3.0]
        );
    }
    let asked = simulated.asked.lock().unwrap().clone();
    let methods: Vec<_> = asked.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "POST", "POST"]);
    for one in asked {
        assert_eq!(one.headers["x-scope-orgid"], "team");
        assert_eq!(one.headers["authorization"], "Bearer secret");
    }
}

#[tokio::test]
async fn a_password_in_the_address_is_shown_to_the_server_alone() {
    let simulated = Simulated::of(SERIES).await;
    let url = simulated.url.replace("http://", "http://user:pass@");
    assert_eq!(values(&asked(at(&url)), "1+1").await, [2.0]);
    let shown = simulated.asked.lock().unwrap()[0].headers["authorization"].clone();
    assert_eq!(shown, "Basic dXNlcjpwYXNz");
    let error = asked(at("http://user:pass@127.0.0.1:1")).query("1", NOW_MS).await.unwrap_err().to_string();
    assert!(error.starts_with("prom cannot be reached") && !error.contains("pass"), "{error}");
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() {
    let simulated = Simulated::of(SERIES).await;
    let backend = asked(at(&simulated.url));
    let error = backend.query("sum(", NOW_MS).await.unwrap_err();
    assert!(matches!(&error, BackendError::Refused { code: 400, kind, .. } if kind == "bad_data"), "{error}");
    let error = backend.query("queue_depth[5m]", NOW_MS).await.unwrap_err().to_string();
    assert!(error.contains("matrix"), "{error}");
    for (head, body, expected) in [
        ("429 Too Many Requests", "slow\ndown", "prom refuses (429 Too Many Requests): slow down"),
        ("502 Bad Gateway", "<html>", "prom refuses (502 Bad Gateway): <html>"),
        ("500 Internal Server Error", "", "nothing more was said"),
        ("503 Service Unavailable", "starting", "prom refuses (503 Service Unavailable): starting"),
        ("302 Found\r\nlocation: https://login", "", "it sends us on to \"https://login\""),
        ("200 OK", "<html>login</html>", "what is none of Prometheus' answers"),
        ("200 OK", "", "what is none of Prometheus' answers"),
        ("200 OK", r#"{"status":"success"}"#, "a success without data"),
        ("200 OK", r#"{"status":"success","data":{"resultType":"vector","result":[{}]}}"#, ""),
        ("200 OK\r\ncontent-encoding: gzip", "no gzip", "gzip that cannot be read"),
        (
            "422 Unprocessable Entity",
            r#"{"status":"error","errorType":"execution","error":"too many"}"#,
            "prom refuses (422 execution): too many",
        ),
    ] {
        let backend = asked(at(&canned(http_answer(head, body.as_bytes())).await));
        match backend.query("x", NOW_MS).await {
            Err(error) => assert!(error.to_string().contains(expected), "{head}: {error}"),
            Ok(answer) => assert!(expected.is_empty(), "{head}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_dead_or_slow_server_costs_its_time_out_and_no_more() {
    // One that accepts and says nothing, one that dribbles, one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dribbling = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while stream.write_all(b"1\r\n \r\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    for url in [silent_url, dribbling] {
        let mut settings = at(&url);
        settings.timeout = Duration::from_millis(300);
        settings.max_connections = 1;
        let backend = asked(settings);
        // More questions than connections: the time-out is each question's own.
        let all = futures_util::future::join_all((0..5).map(|_| backend.query("x", NOW_MS))).await;
        for error in all {
            assert!(matches!(error, Err(BackendError::Timeout { .. })), "{error:?}");
        }
    }
    let error = asked(at("http://127.0.0.1:1")).query("x", NOW_MS).await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endless = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while stream.write_all(&chunk).await.is_ok() {}
            });
        }
    });
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = http_answer("200 OK\r\ncontent-encoding: gzip", &packed.finish().unwrap());
    for url in [endless, canned(bomb).await] {
        let mut settings = at(&url);
        settings.body_limit_bytes = 1 << 20;
        settings.timeout = Duration::from_secs(60);
        let error = asked(settings).query("x", NOW_MS).await.unwrap_err();
        assert!(matches!(error, BackendError::TooLarge { limit_bytes: 1_048_576, .. }), "{error}");
    }
}

#[tokio::test]
async fn packed_answers_are_read() {
    let body = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    let url = canned(http_answer("200 OK\r\ncontent-encoding: gzip", &packed.finish().unwrap())).await;
    assert_eq!(values(&asked(at(&url)), "x").await, [2.0]);
}

#[tokio::test]
async fn discovery_asks_for_series_where_they_are_few_and_for_names_where_they_are_many() {
    let few = Simulated::of(SERIES).await;
    let found = asked(at(&few.url)).discover(r#"{namespace!=""}"#, NOW_MS - 60_000).await.unwrap();
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["http_requests_total", "jobs_waiting", "queue_depth"]);
    assert!(found["http_requests_total"].contains("pod") && !found["jobs_waiting"].contains("pod"));
    assert_eq!((few.count("series"), few.count("labels")), (1, 0));
    let mut source = memory(SERIES);
    for pod in 0..5_000 {
        let pod = format!("p{pod}");
        let pairs = [("__name__", "many"), ("namespace", "ns"), ("pod", pod.as_str())];
        let labels = Arc::new(Labels::from_pairs(pairs).unwrap());
        source.add(&labels, Point { timestamp_ms: NOW_MS - 1000, value: 1.0 });
    }
    let many = Simulated::of_source(source).await;
    let backend = asked(at(&many.url));
    for _ in 0..3 {
        let found = backend.discover(r#"{namespace!=""}"#, NOW_MS - 60_000).await.unwrap();
        assert_eq!(found.len(), 4);
        assert!(found["many"].contains("pod") && found["queue_depth"].contains("service"));
    }
    // What labels a metric has is asked once in a while only.
    assert_eq!((many.count("series"), many.count("label/__name__/values"), many.count("labels")), (3, 3, 4));
}

#[tokio::test]
async fn tls_with_an_authority_a_client_certificate_and_a_name() {
    let authority = CertificateAuthority::new("test").unwrap();
    let server = authority.issue_server(&["localhost"], &[]).unwrap();
    let client = authority.issue_client("adapter", &[]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(server.resolver().unwrap());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let body = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"42"]}}"#;
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&http_answer("200 OK\r\nconnection: close", body)).await;
            let _ = stream.shutdown().await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Pem::File(path)
    };
    let ca = write("ca.pem", &authority.certificate_pem());
    let shown = ClientCertificate {
        certificate: write("tls.crt", &client.certificate_pem),
        key: write("tls.key", &client.key_pem),
    };
    let settings = |host: &str| {
        let mut settings = at(&format!("https://{host}:{port}"));
        (settings.ca, settings.client_certificate) = (Some(ca.clone()), Some(shown.clone()));
        settings
    };
    assert_eq!(values(&asked(settings("localhost")), "x").await, [42.0]);
    // Each of the three is needed.
    let with_ca = |ca: Pem| {
        let mut settings = settings("localhost");
        settings.ca = Some(ca);
        settings
    };
    let mut nameless = settings("localhost");
    nameless.client_certificate = None;
    for (settings, why) in [
        (settings("127.0.0.1"), "certificate"),
        (nameless, ""),
        (with_ca(write("empty.pem", "")), "the CA file holds no certificate"),
        (with_ca(Pem::File("/nowhere/ca.pem".into())), "/nowhere/ca.pem"),
    ] {
        let error = asked(settings).query("x", NOW_MS).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut insecure = settings("127.0.0.1");
    (insecure.ca, insecure.insecure) = (None, true);
    assert_eq!(values(&asked(insecure), "x").await, [42.0]);
}
