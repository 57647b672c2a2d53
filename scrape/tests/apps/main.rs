//! Scraping of applications over real connections, from a configuration file to what a store gets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test with servers of its own")]

#[path = "../server/mod.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod server;

mod rig;

use std::io::Write as _;

use flyball_scrape::apps::{Config, Health, LastScrape};
use rig::{Rig, Web};
use server::{Answer, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TEXT: &str = "content-type: text/plain; version=0.0.4";

/// A file with one job that says this.
fn file(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: j\n{indented}")
}

fn plain(web: &Web, lines: &str) -> String {
    file(&format!(
        "static_configs: [{{targets: ['127.0.0.1:{}'], labels: {{env: test}}}}]\n{lines}",
        web.port
    ))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn another_configuration_ends_what_it_leaves_out_and_goes_on_with_the_rest() {
    let (stays, goes) = (Web::start().await, Web::start().await);
    for web in [&stays, &goes] {
        web.answer("/metrics", 200, TEXT, b"a 1\n");
    }
    let job = |name: &str, web: &Web, more: &str| {
        format!("- {{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:{}']}}]{more}}}\n", web.port)
    };
    let head = "global: {scrape_interval: 100ms}\nscrape_configs:\n";
    let rig = Rig::start(&format!("{head}{}{}", job("one", &stays, ""), job("two", &goes, "")));
    let series = |name: &str, web: &Web| format!("__name__=a instance=127.0.0.1:{} job={name}", web.port);
    let (kept, gone) = (series("one", &stays), series("two", &goes));
    rig.until(|store| store.last(&kept) == Some(1.0) && store.last(&gone) == Some(1.0)).await;
    stays.answer("/other", 200, TEXT, b"a 2\n");
    rig.configure(&format!("{head}{}", job("one", &stays, ", metrics_path: /other")));
    rig.until(|store| store.last(&kept) == Some(2.0) && store.is_stale(&gone)).await;
    assert_eq!(rig.store().stale_count(&kept), 0, "a series that goes on does not end in between");
    assert_eq!(rig.view.pools(), ["one"]);
    assert_eq!(rig.view.active()[0].url, format!("http://127.0.0.1:{}/other", stays.port));
    rig.stop().await;
}

#[tokio::test]
async fn a_target_from_its_first_scrape_to_its_failure() {
    let web = Web::start().await;
    web.answer(
        "/metrics",
        200,
        TEXT,
        b"# HELP a_total Things.\n# TYPE a_total counter\na_total{job=\"x\"} 1\nb 2\n",
    );
    let rig = Rig::start(&plain(
        &web,
        "basic_auth: {username: u, password: p}\nhttp_headers: {X-Tenant: {values: [t]}}",
    ));
    let instance = format!("127.0.0.1:{}", web.port);
    let own = format!("env=test instance={instance} job=j");
    rig.until(|store| store.last(&format!("__name__=b {own}")) == Some(2.0)).await;
    rig.until(|store| {
        store.last(&format!("__name__=a_total env=test exported_job=x instance={instance} job=j"))
            == Some(1.0)
    })
    .await;
    rig.until(|store| store.last(&format!("__name__=up {own}")) == Some(1.0)).await;
    rig.until(|store| store.last(&format!("__name__=scrape_samples_scraped {own}")) == Some(2.0)).await;
    assert!(rig.store().last(&format!("__name__=scrape_duration_seconds {own}")).unwrap() > 0.0);

    let head = web.last_head().to_ascii_lowercase();
    for line in [
        "get /metrics http/1.1\r\n",
        "authorization: basic dtpw\r\n",
        "x-tenant: t\r\n",
        "accept-encoding: gzip\r\n",
        "x-prometheus-scrape-timeout-seconds: 0.1\r\n",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    rig.until(|_| rig.view.active()[0].last.health == Health::Up).await;
    let target = rig.view.active().remove(0);
    assert_eq!(target.pool, "j");
    assert_eq!(target.url, format!("http://{instance}/metrics"));
    assert_eq!(target.discovered.get("__address__"), instance);
    assert_eq!(target.labels.get("env"), Some("test"));
    assert!(target.last.started_ms.is_some());
    assert_eq!(rig.view.metadata()["a_total"][0].help, "Things.");
    // The connection is kept.
    rig.until(|_| web.requests() >= web.connections() + 3).await;

    // A series vanishes, then everything fails.
    web.answer("/metrics", 200, TEXT, b"b 3\n");
    rig.until(|store| {
        store.is_stale(&format!("__name__=a_total env=test exported_job=x instance={instance} job=j"))
    })
    .await;
    web.answer("/metrics", 500, TEXT, b"");
    rig.until(|store| store.is_stale(&format!("__name__=b {own}"))).await;
    rig.until(|store| store.last(&format!("__name__=up {own}")) == Some(0.0)).await;
    rig.until(|_| rig.view.active()[0].last.error == "server returned HTTP status 500 Internal Server Error")
        .await;
    rig.stop().await;
}

#[tokio::test]
async fn openmetrics_in_gzip() {
    let web = Web::start().await;
    let headers =
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\ncontent-encoding: gzip";
    web.answer("/m?a=b", 200, headers, &gzip(b"# TYPE a counter\na_total 1 # {trace=\"x\"} 1\n# EOF\n"));
    let rig = Rig::start(&plain(&web, "metrics_path: /m\nparams: {a: [b]}"));
    rig.until(|store| store.any("__name__=a_total") == Some(1.0)).await;
    rig.stop().await;
}

/// Waits until the one target of a job says this: nothing if it is scraped well.
async fn says(file: &str, expected: &str) {
    let rig = Rig::start(file);
    let said = |last: &LastScrape| match expected {
        "" => last.health == Health::Up && last.error.is_empty(),
        expected => last.health == Health::Down && last.error.starts_with(expected),
    };
    rig.until(|_| rig.view.active().first().is_some_and(|target| said(&target.last))).await;
    rig.stop().await;
}

#[tokio::test]
async fn answers_that_are_not_taken() {
    let web = Web::start().await;
    web.answer("/html", 200, "content-type: text/html", b"<p>hello</p>\n");
    web.answer("/nothing", 200, "x: y", b"a 1\n");
    web.answer("/long", 200, TEXT, &b"a 1\n".repeat(1000));
    web.answer("/bomb", 200, &format!("{TEXT}\r\ncontent-encoding: gzip"), &gzip(&b"a 1\n".repeat(100_000)));
    web.answer("/bad", 200, TEXT, b"a 1\nb\n");
    web.answer("/bytes", 200, TEXT, b"a 1\n\xff\n");
    web.answer("/many", 200, TEXT, b"a 1\nb 1\nc 1\n");
    for (lines, expected) in [
        ("metrics_path: /html", "the answer has the Content-Type \"text/html\", which is none of metrics"),
        ("metrics_path: /nothing", "the answer has no Content-Type, and the job no fallback_scrape_protocol"),
        ("metrics_path: /nothing\nfallback_scrape_protocol: PrometheusText0.0.4", ""),
        (
            "metrics_path: /long\nbody_size_limit: 1KB",
            "body_size_limit exceeded: the answer has more than 1024 bytes",
        ),
        (
            "metrics_path: /bomb\nbody_size_limit: 64KB",
            "body_size_limit exceeded: the answer has more than 65536 bytes",
        ),
        ("metrics_path: /bad", "the answer cannot be read: line 2: "),
        ("metrics_path: /bytes", "byte 4 of the answer is not UTF-8"),
        (
            "metrics_path: /many\nsample_limit: 2",
            "sample_limit exceeded: there are 3 samples after relabelling, 2 are allowed",
        ),
        ("metrics_path: /gone", "server returned HTTP status 404 Not Found"),
        ("metrics_path: /many\nauthorization: {credentials_file: /nowhere}", "cannot read /nowhere: "),
    ] {
        says(&plain(&web, lines), expected).await;
    }
}

#[tokio::test]
async fn redirects() {
    let (web, other) = (Web::start().await, Web::start().await);
    web.answer("/here", 302, "location: metrics", b"");
    web.answer("/there", 307, &format!("location: http://localhost:{}/metrics", other.port), b"");
    web.answer("/round", 301, "location: /round", b"");
    web.answer("/lost", 301, "x: y", b"");
    web.answer("/metrics", 200, TEXT, b"a 1\n");
    other.answer("/metrics", 200, TEXT, b"a 1\n");
    let secret = "\nbearer_token: secret";
    says(&plain(&web, &format!("metrics_path: /here{secret}")), "").await;
    assert!(web.last_head().to_ascii_lowercase().contains("authorization: bearer secret"));
    says(&plain(&web, &format!("metrics_path: /there{secret}")), "").await;
    assert!(
        !other.last_head().to_ascii_lowercase().contains("secret"),
        "credentials stay with the target's host"
    );
    for (lines, expected) in [
        ("metrics_path: /round", "stopped after 10 redirects"),
        ("metrics_path: /lost", "redirect 301 Moved Permanently without a Location"),
        ("metrics_path: /here\nfollow_redirects: false", "server returned HTTP status 302 Found"),
    ] {
        says(&plain(&web, lines), expected).await;
    }
}

#[tokio::test]
async fn tls() {
    let server = Server::start(Answer::text("a 1\n").header(TEXT), &["metrics.example", "127.0.0.1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &server.authority_pem).unwrap();
    let inline: String = server.authority_pem.lines().map(|line| format!("      {line}\n")).collect();
    let ca = ca.display();
    for (tls, expected) in [
        (format!("ca_file: {ca}"), ""),
        (format!("ca: |\n{inline}"), ""),
        (format!("ca_file: {ca}\n  server_name: metrics.example"), ""),
        ("insecure_skip_verify: true".to_owned(), ""),
        (format!("ca_file: {ca}\n  min_version: TLS13"), ""),
        (format!("ca_file: {ca}\n  max_version: TLS12"), ""),
        (
            format!("ca_file: {ca}\n  server_name: other.example"),
            "the certificate of ADDRESS is not accepted: ",
        ),
        (String::new(), "the certificate of ADDRESS is not accepted: "),
        ("ca_file: /nowhere".to_owned(), "cannot read /nowhere: "),
    ] {
        let lines = format!(
            "scheme: https\nstatic_configs: [{{targets: ['127.0.0.1:{}']}}]\nscrape_interval: 1s\ntls_config:\n  {tls}",
            server.port
        );
        says(&file(&lines), &expected.replace("ADDRESS", &format!("127.0.0.1:{}", server.port))).await;
    }
}

#[tokio::test]
async fn https_where_http_is_spoken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The scraper may be gone.
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let lines = format!("scheme: https\nstatic_configs: [{{targets: ['127.0.0.1:{port}']}}]");
    says(&file(&lines), &format!("the TLS handshake with 127.0.0.1:{port} failed: ")).await;
}

#[tokio::test]
async fn a_target_that_demands_a_certificate() {
    let (server, client) = Server::demanding(Answer::text("a 1\n").header(TEXT), &["127.0.0.1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file_of = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let ca = file_of("ca.pem", &server.authority_pem);
    let (certificate, key) = (file_of("cert.pem", &client.certificate), file_of("key.pem", &client.key));
    let inline = |pem: &str| pem.lines().map(|line| format!("      {line}\n")).collect::<String>();
    let job = |tls: &str| {
        file(&format!(
            "scheme: https\nstatic_configs: [{{targets: ['127.0.0.1:{}']}}]\nscrape_interval: 1s\ntls_config:\n  ca_file: {ca}\n{tls}",
            server.port
        ))
    };
    says(&job(&format!("  cert_file: {certificate}\n  key_file: {key}")), "").await;
    says(&job(&format!("  cert: |\n{}  key: |\n{}", inline(&client.certificate), inline(&client.key))), "")
        .await;
    let rig = Rig::start(&job(""));
    rig.until(|_| rig.view.active().first().is_some_and(|target| target.last.health == Health::Down)).await;
    let error = rig.view.active().remove(0).last.error;
    assert!(error.contains("ertificate"), "{error}");
    rig.stop().await;
}

#[tokio::test]
async fn limits_of_targets_and_of_the_store() {
    let web = Web::start().await;
    web.answer("/metrics", 200, TEXT, b"a 1\nb 1\nc 1\n");
    let lines = format!(
        "target_limit: 1\nstatic_configs: [{{targets: ['127.0.0.1:{0}', 'localhost:{0}']}}]",
        web.port
    );
    let rig = Rig::start(&file(&lines));
    let expected = "target_limit exceeded: there are 2 targets, 1 are allowed";
    rig.until(|_| rig.view.active().iter().filter(|target| target.last.error == expected).count() == 2).await;
    assert_eq!(web.requests(), 0);
    rig.until(|store| store.any("__name__=up") == Some(0.0)).await;
    rig.stop().await;

    let rig = Rig::limited(&plain(&web, ""), 2);
    let source = format!("j http://127.0.0.1:{}/metrics", web.port);
    let expected = format!("1 new series were not stored: {source} has too many series");
    rig.until(|_| {
        let target = rig.view.active().into_iter().next();
        target.is_some_and(|target| target.last.health == Health::Up && target.last.error == expected)
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn dropped_targets_are_shown() {
    let lines = "static_configs: [{targets: [a, b, c]}]\nkeep_dropped_targets: 2\n\
        relabel_configs: [{action: drop, source_labels: [__address__], regex: .*}]";
    let rig = Rig::start(&file(lines));
    rig.until(|_| rig.view.dropped_counts().get("j") == Some(&3)).await;
    assert_eq!(rig.view.dropped().len(), 2);
    assert_eq!(rig.view.dropped()[0].discovered.get("__address__"), "a");
    assert_eq!((rig.view.pools(), rig.view.active().len()), (vec!["j".to_owned()], 0));
    rig.stop().await;
}

#[tokio::test]
async fn a_pod_that_asks_for_it_until_it_is_gone() {
    let web = Web::start().await;
    web.answer("/custom", 200, TEXT, b"a 1\n");
    let pods = rig::Pods::default();
    pods.add("web-0", &format!("{}", web.port));
    let config = Config::annotated_pods(std::time::Duration::from_millis(200)).unwrap();
    let rig = Rig::run(config, Some(pods.client()));
    rig.until(|store| store.any("__name__=a app=web") == Some(1.0)).await;
    let target = rig.view.active().remove(0);
    assert_eq!(target.labels.get("pod"), Some("web-0"));
    assert_eq!(target.discovered.get("__meta_kubernetes_pod_name"), "web-0");
    pods.remove("web-0");
    rig.until(|_| rig.view.active().is_empty()).await;
    rig.until(|store| store.stale("__name__=a app=web") && store.stale("__name__=up app=web")).await;
    rig.stop().await;
}
