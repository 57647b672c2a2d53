//! prometheus-adapter and ours, with one configuration each over the same Prometheus, and who asks them.

use std::net::SocketAddr;
use std::path::Path;

use flyball_e2e::plane::Plane;
use flyball_e2e::{MINUTE, Program, eventually};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Namespace of the account that both run as, and its name.
pub const ACCOUNT: (&str, &str) = ("adapters", "adapter");
const PORT: u16 = 6443;

/// One adapter.
pub struct Side {
    client: kube::Client,
    program: Program,
}

/// Code and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

/// The account, which may do everything.
pub fn account(plane: &Plane) {
    let kubectl = plane.namespace(ACCOUNT.0);
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT.1}}));
    let subject = format!("--serviceaccount={}:{}", ACCOUNT.0, ACCOUNT.1);
    kubectl.ok(&["create", "clusterrolebinding", "adapters", "--clusterrole=cluster-admin", &subject]);
}

/// How often a look is taken when nobody asks: some come while questions are asked.
const RELIST: &str = "--metrics-relist-interval=5s";
/// Every look finds the same.
const MAX_AGE: &str = "--metrics-max-age=10m";

impl Side {
    /// Upstream's.
    pub fn theirs(plane: &Plane, runtime: &Runtime, program: &Path, prometheus: &str, config: &Path) -> Side {
        let kubeconfig = plane.kubeconfig_of(ACCOUNT.0, ACCOUNT.1);
        let kubeconfig = kubeconfig.display();
        let address = SocketAddr::from((plane.address(), PORT));
        let flags = [
            format!("--lister-kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--cert-dir={}", plane.folder().join("theirs").display()),
            format!("--bind-address={}", address.ip()),
            format!("--secure-port={PORT}"),
            format!("--prometheus-url={prometheus}"),
            format!("--config={}", config.display()),
            RELIST.to_owned(),
            MAX_AGE.to_owned(),
            // Each list of objects is asked of the API server, by default five a second.
            "--client-qps=1000".to_owned(),
            "--client-burst=1000".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let program = plane.run_program(program, ACCOUNT.0, ACCOUNT.1, &flags, &[]);
        Side::at(plane, runtime, address, program)
    }

    /// Ours, told to do with NaN as upstream does.
    pub fn ours(plane: &Plane, runtime: &Runtime, prometheus: &str, config: &Path) -> Side {
        let address = SocketAddr::from((plane.address(), PORT));
        let flags = [
            format!("--cert-dir={}", plane.folder().join("ours").display()),
            format!("--bind-address={}", address.ip()),
            format!("--secure-port={PORT}"),
            format!("--prometheus-url={prometheus}"),
            format!("--config={}", config.display()),
            RELIST.to_owned(),
            MAX_AGE.to_owned(),
            "--nan-is-zero".to_owned(),
        ];
        let flags: Vec<&str> = ["adapter"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let program = plane.run_as(ACCOUNT.0, ACCOUNT.1, &flags);
        Side::at(plane, runtime, address, program)
    }

    fn at(plane: &Plane, runtime: &Runtime, address: SocketAddr, program: Program) -> Side {
        let mut config = kube::Config::new(format!("https://{address}").parse().expect("a URL"));
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(plane.token_of(ACCOUNT.0, ACCOUNT.1, &[]).into());
        let entered = runtime.enter();
        let side = Side { client: kube::Client::try_from(config).expect("a client"), program };
        drop(entered);
        eventually(
            MINUTE,
            "the adapter is ready",
            || side.program.state(),
            || match runtime.block_on(side.ask("GET", "/readyz")) {
                Ok(Answer { code: 200, .. }) => Ok(()),
                other => Err(format!("{other:?}")),
            },
        );
        side
    }

    /// What a request answers.
    pub async fn ask(&self, method: &str, path: &str) -> Result<Answer, String> {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        Ok(Answer { code, body })
    }
}
