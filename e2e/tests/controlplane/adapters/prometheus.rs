//! A real Prometheus that scrapes one target every second.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use flyball_e2e::plane::Plane;
use flyball_e2e::{MINUTE, Program, SHORT, eventually, run};
use serde_json::Value;

use super::serving::Target;

/// Its usual port.
const PORT: u16 = 9090;
/// Scrapes after which a rate has something to go by.
const SCRAPES: u64 = 8;

/// A server.
pub struct Prometheus {
    pub address: SocketAddr,
    program: Program,
}

impl Prometheus {
    /// Starts one and waits until it has scraped for a while.
    pub fn start(plane: &Plane, program: &Path, target: &Target) -> Prometheus {
        let folder = plane.folder().join("prometheus");
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: world\n  honor_labels: true\n  static_configs: [{{targets: ['{}']}}]\n",
            target.address
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("a file");
        let address = SocketAddr::from((plane.address(), PORT));
        let flags = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let program = plane.run_program(program, "kube-system", "default", &flags, &[]);
        let prometheus = Prometheus { address, program };
        let state = || prometheus.program.state();
        eventually(MINUTE, "Prometheus scrapes", state, || match target.scrapes() {
            scrapes if scrapes >= SCRAPES => Ok(()),
            scrapes => Err(format!("{scrapes} scrapes")),
        });
        prometheus
    }

    /// For adapters.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The moment of the last sample, Unix seconds, rounded up.
    pub fn now(&self) -> u64 {
        let data = self.query("max(timestamp(up))");
        let seconds = data["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        seconds.unwrap_or_else(|| panic!("no time: {data}\n{}", self.program.state())).ceil() as u64
    }

    fn query(&self, query: &str) -> Value {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "10", "--get", "--data-urlencode"]);
        command.arg(format!("query={query}")).arg(format!("{}/api/v1/query", self.url()));
        let finished = run(command, "", SHORT);
        let answer: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{finished}\n{}", self.program.state());
        answer["data"].clone()
    }
}
