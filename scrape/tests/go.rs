//! Scraping a server of Go's net/http, which kubelets are. Needs `go`; without it each test says so and passes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test with a server of its own")]
#![allow(clippy::print_stderr, reason = "what the server saw belongs to the result")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use flyball_model::batch::{Batch, Outcome, Sink};
use flyball_scrape::config::{Config, Endpoint, Resolution, Token, Transport};
use flyball_scrape::target::{Target, fixed};
use flyball_scrape::tls::{ClientIdentity, TlsSettings, Trust};
use flyball_scrape::{Metrics, run};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The program, built once; `None` without Go.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if Command::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Renamed when done, since another run may be running the one that is there.
        let (program, fresh) =
            (folder.join("goserver"), folder.join(format!("goserver-{}", std::process::id())));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goserver/main.go");
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(&fresh).arg(source).env("GOTOOLCHAIN", "local");
        assert!(build.status().unwrap().success(), "the Go server does not build");
        std::fs::rename(&fresh, &program).unwrap();
        Some(program)
    });
    if built.is_none() {
        let thread = std::thread::current();
        // Past the test runner's capture of output.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {}: there is no `go` to build the server with",
            thread.name().unwrap_or("test")
        );
    }
    built.as_deref()
}

/// A running server.
struct GoServer {
    child: Child,
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl GoServer {
    fn start(folder: &Path, port: u16, arguments: &[&str]) -> Option<GoServer> {
        let mut command = Command::new(program()?);
        command.arg("-certificate").arg(folder.join("server.pem"));
        command.arg("-listen").arg(format!("127.0.0.1:{port}")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = output.next().unwrap().unwrap();
        let port = first.rsplit_once(':').unwrap().1.parse().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = lines.clone();
        std::thread::spawn(move || {
            output.map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line))
        });
        Some(GoServer { child, port, lines })
    }

    fn lines(&self, beginning: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(beginning)).cloned().collect()
    }

    /// The requests once they are so many: what the server says comes over a pipe, a little later.
    async fn requests(&self, count: usize) -> Vec<String> {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.lines("request").len() < count && Instant::now() < patience {
            tokio::time::sleep(OFTEN).await;
        }
        let requests = self.lines("request");
        assert!(requests.len() >= count, "{requests:?}");
        requests
    }
}

impl Drop for GoServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct Channel(mpsc::UnboundedSender<Batch>);

impl Sink for Channel {
    fn accept(&self, batch: &Batch) {
        self.0.send(batch.clone()).ok();
    }
}

/// A running scrape.
struct Scrape {
    batches: mpsc::UnboundedReceiver<Batch>,
    shutdown: CancellationToken,
}

impl Scrape {
    fn start(folder: &Path, port: u16, every: Duration, identity: Option<ClientIdentity>) -> Scrape {
        let mut tls = TlsSettings::new(Trust::File(folder.join("server.pem")));
        tls.identity = identity;
        let endpoint = Endpoint { transport: Transport::Tls(tls), token: Token::Fixed("secret".to_owned()) };
        let mut config = Config::new(endpoint.clone(), endpoint);
        config.resolution = Resolution::Fixed(every);
        let (sender, batches) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(Channel(sender))];
        let (list, targets) = fixed([Target::kubelet("n1", "127.0.0.1", port)]);
        let running = run(config, targets, sinks, Arc::new(Metrics::default()), shutdown.clone());
        tokio::spawn(async move {
            running.await;
            drop(list);
        });
        Scrape { batches, shutdown }
    }

    /// How many samples the next batch has, or why it has none.
    async fn next(&mut self) -> Result<usize, String> {
        let patience = Duration::from_secs(30);
        let batch = tokio::time::timeout(patience, self.batches.recv()).await.unwrap().unwrap();
        match batch.outcome {
            Outcome::Scraped { samples, .. } => Ok(samples.len()),
            Outcome::Failed { reason } => Err(reason),
        }
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

const OFTEN: Duration = Duration::from_millis(10);

/// A certificate for a client, in files.
fn identity(folder: &Path) -> ClientIdentity {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "the client");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let (certificate, key_file) = (folder.join("client.pem"), folder.join("client.key"));
    std::fs::write(&certificate, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    ClientIdentity { certificate, key: key_file }
}

/// Twenty scrapes are good, over one connection; the server saw what is told.
async fn twenty(arguments: &[&str], samples: usize, shows: bool, saw: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let identity = identity(folder.path());
    let authority = identity.certificate.display().to_string();
    let mut all = arguments.to_vec();
    all.extend(["-client-authority", &authority]);
    let Some(server) = GoServer::start(folder.path(), 0, &all) else { return };
    let mut scrape = Scrape::start(folder.path(), server.port, OFTEN, shows.then_some(identity));
    for index in 0..20 {
        assert_eq!(scrape.next().await, Ok(samples), "{arguments:?}, scrape {index}");
    }
    let requests = server.requests(20).await;
    let (connections, closed) = (server.lines("new").len(), server.lines("closed").len());
    eprintln!("{arguments:?}: {} requests, {connections} connections: {}", requests.len(), requests[19]);
    assert_eq!((connections, closed), (1, 0), "{arguments:?}");
    for part in saw.iter().chain(&["HTTP/1.1", "alpn=\"http/1.1\"", "/metrics/resource"]) {
        assert!(requests.iter().all(|line| line.contains(part)), "{part}: {requests:?}");
    }
}

#[tokio::test]
async fn twenty_scrapes_over_one_connection() {
    // 2 of the node and 2 of each container; 2,000 containers are some 400 KiB.
    for version in ["1.2", "1.3"] {
        let saw = format!("TLS {version} ");
        for key in ["ecdsa", "rsa"] {
            twenty(&["-tls", version, "-key", key], 6, false, &[&saw]).await;
        }
        for answer in ["length", "chunked", "gzip"] {
            let arguments = ["-tls", version, "-answer", answer, "-containers", "2000"];
            twenty(&arguments, 4002, false, &[&saw]).await;
        }
        for client in ["requested", "required"] {
            let arguments = ["-tls", version, "-client", client];
            twenty(&arguments, 6, true, &[&saw, "client=\"the client\""]).await;
        }
        twenty(&["-tls", version, "-client", "requested"], 6, false, &[&saw, "client=\"none\""]).await;
    }
    twenty(&[], 6, false, &["TLS 1.3 "]).await;
}

#[tokio::test]
async fn a_missing_client_certificate_is_told() {
    for version in ["1.2", "1.3"] {
        let folder = tempfile::tempdir().unwrap();
        let authority = identity(folder.path()).certificate.display().to_string();
        let arguments = ["-tls", version, "-client", "required", "-client-authority", &authority];
        let Some(server) = GoServer::start(folder.path(), 0, &arguments) else { return };
        let mut scrape = Scrape::start(folder.path(), server.port, OFTEN, None);
        for index in 0..30 {
            let reason = scrape.next().await.unwrap_err();
            if index == 0 {
                eprintln!("TLS {version}: {reason}");
            }
            assert!(reason.contains("alert"), "{reason}");
        }
    }
}

/// The server closes at about the time of the next request.
#[tokio::test]
async fn closing_and_asking_at_once_is_no_failure() {
    for version in ["1.2", "1.3"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-tls", version, "-idle", "9ms"];
        let Some(server) = GoServer::start(folder.path(), 0, &arguments) else { return };
        let mut scrape = Scrape::start(folder.path(), server.port, OFTEN, None);
        for index in 0..200 {
            assert_eq!(scrape.next().await, Ok(6), "TLS {version}, scrape {index}");
        }
        eprintln!("TLS {version}, racing: 200 scrapes, {} connections", server.lines("new").len());
    }
}

#[tokio::test]
async fn connections_closed_while_idle_are_no_failure() {
    for version in ["1.2", "1.3"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-tls", version, "-idle", "30ms"];
        let Some(server) = GoServer::start(folder.path(), 0, &arguments) else { return };
        let mut scrape = Scrape::start(folder.path(), server.port, Duration::from_millis(150), None);
        for index in 0..10 {
            assert_eq!(scrape.next().await, Ok(6), "TLS {version}, scrape {index}");
        }
        let connections = server.lines("new").len();
        eprintln!("TLS {version}, idle: 10 scrapes, {connections} connections");
        assert!(connections >= 5, "{connections}");
    }
}

#[tokio::test]
async fn a_restart_between_two_scrapes_is_no_failure() {
    for version in ["1.2", "1.3"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-tls", version];
        let Some(mut server) = GoServer::start(folder.path(), 0, &arguments) else { return };
        let every = Duration::from_secs(1);
        let mut scrape = Scrape::start(folder.path(), server.port, every, None);
        for index in 0..3 {
            assert_eq!(scrape.next().await, Ok(6));
            let (port, begin) = (server.port, Instant::now());
            drop(server);
            server = GoServer::start(folder.path(), port, &arguments).unwrap();
            let took = begin.elapsed();
            match scrape.next().await {
                Err(reason) if took > every / 2 && reason.contains("refused") => continue,
                result => assert_eq!(result, Ok(6), "TLS {version}, restart {index}"),
            }
            let requests = server.requests(1).await;
            eprintln!("TLS {version}, restart {index} within {took:?}: {}", requests[0]);
        }
    }
}
