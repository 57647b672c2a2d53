//! `/healthz`, `/livez` and `/readyz`: named checks and upstream's bodies.
//!
//! Live means that the loops still turn; ready means that there is data to answer with.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use crate::advice::Advice;
use crate::body::full;
use crate::query::Query;
use crate::request::Response;

/// One question to the process. It must answer at once, from memory.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Which probe a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`, kept for old clients.
    Health,
    /// `/livez`: failing means "restart me".
    Live,
    /// `/readyz`: failing means "send me no requests yet".
    Ready,
}

impl Probe {
    const ALL: [Self; 3] = [Self::Health, Self::Live, Self::Ready];

    /// The path without its slash, which is also the name in the last line of the body.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::Live => "livez",
            Self::Ready => "readyz",
        }
    }
}

/// The checks of a process, in the order in which they are shown. The first is always `ping`, which succeeds.
#[derive(Clone)]
pub struct Probes {
    checks: Vec<(Probe, String, Check)>,
    advice: Option<Advice>,
}

impl Default for Probes {
    fn default() -> Self {
        Self::new()
    }
}

impl Probes {
    /// Probes with `ping` only.
    pub fn new() -> Self {
        let mut probes = Self { checks: Vec::new(), advice: None };
        for probe in Probe::ALL {
            probes.add(&[probe], "ping", || Ok(()));
        }
        probes
    }

    /// Adds a check to some probes. The reason of a failure goes to the log and to the check's own path
    /// (`/readyz/<name>`), not to the open body.
    pub fn add(
        &mut self,
        probes: &[Probe],
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> &mut Self {
        let check: Check = Arc::new(check);
        self.checks.extend(probes.iter().map(|probe| (*probe, name.to_owned(), check.clone())));
        self
    }

    /// Shows these findings in `/readyz?verbose`, a line `[!]topic: text` each, before the last one. They make no probe
    /// fail.
    #[must_use]
    pub fn with_advice(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// All paths, for the index.
    pub fn paths(&self) -> Vec<String> {
        let roots = Probe::ALL.iter().map(|probe| format!("/{}", probe.name()));
        let single = self.checks.iter().map(|(probe, name, _)| format!("/{}/{name}", probe.name()));
        roots.chain(single).collect()
    }

    /// The answer if the path is a probe's, else `None`.
    pub fn respond(&self, path: &str, query: &Query) -> Option<Response> {
        let path = path.strip_prefix('/')?;
        let (root, single) = path.split_once('/').map_or((path, None), |(root, name)| (root, Some(name)));
        let probe = Probe::ALL.into_iter().find(|probe| probe.name() == root)?;
        match single {
            None => Some(self.all(probe, query)),
            Some(name) => self.one(probe, name),
        }
    }

    fn of(&self, probe: Probe) -> impl Iterator<Item = (&str, &Check)> {
        self.checks.iter().filter(move |(of, ..)| *of == probe).map(|(_, name, check)| (name.as_str(), check))
    }

    fn one(&self, probe: Probe, name: &str) -> Option<Response> {
        let (_, check) = self.of(probe).find(|(known, _)| *known == name)?;
        Some(match check() {
            // Upstream's checks differ from their sum in this header.
            Ok(()) => without_nosniff(text(StatusCode::OK, "ok".to_owned())),
            Err(reason) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n"))
            }
        })
    }

    fn all(&self, probe: Probe, query: &Query) -> Response {
        let mut excluded: Vec<&str> = query.all("exclude").collect();
        excluded.sort_unstable();
        excluded.dedup();
        let (mut lines, mut failed) = (String::new(), Vec::new());
        for (name, check) in self.of(probe) {
            if excluded.contains(&name) {
                excluded.retain(|other| *other != name);
                lines.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match check() {
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(reason) => {
                    lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                    failed.push((name, reason));
                }
            }
        }
        if !excluded.is_empty() {
            let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
            let names = names.join(",");
            lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
        }
        let findings = self.advice.iter().filter(|_| probe == Probe::Ready).flat_map(Advice::all);
        lines.extend(findings.map(|(topic, text)| format!("[!]{topic}: {text}\n")));
        let name = probe.name();
        if !failed.is_empty() {
            tracing::info!(probe = name, ?failed, "probe failed");
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{name} check failed\n"));
        }
        let verbose = query.has("verbose");
        text(StatusCode::OK, if verbose { format!("{lines}{name} check passed\n") } else { "ok".to_owned() })
    }
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.paths()).finish()
    }
}

fn text(code: StatusCode, body: String) -> Response {
    let mut response = http::Response::new(full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn without_nosniff(mut response: Response) -> Response {
    response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn ask(probes: &Probes, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let response = probes.respond(path, &Query::parse(query)).unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn bodies_are_upstreams() {
        let mut probes = Probes::new();
        probes.add(&[Probe::Ready], "data", || Err("no data yet".into()));
        probes.add(&[Probe::Ready, Probe::Live], "loop", || Ok(()));
        for (target, code, body) in [
            ("/healthz", 200, "ok"),
            ("/livez?verbose", 200, "[+]ping ok\n[+]loop ok\nlivez check passed\n"),
            (
                "/readyz",
                500,
                "[+]ping ok\n[-]data failed: reason withheld\n[+]loop ok\nreadyz check failed\n",
            ),
            (
                "/readyz?exclude=data&verbose=1",
                200,
                "[+]ping ok\n[+]data excluded: ok\n[+]loop ok\nreadyz check passed\n",
            ),
            (
                "/livez?verbose&exclude=x&exclude=a",
                200,
                "[+]ping ok\n[+]loop ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"x\"\nlivez check passed\n",
            ),
            ("/readyz/ping", 200, "ok"),
            ("/readyz/data", 500, "internal server error: no data yet\n"),
        ] {
            assert_eq!(ask(&probes, target).await, (code, body.to_owned()), "{target}");
        }
        let advice = Advice::new();
        advice.set("permissions", Some("one is missing".to_owned()));
        let probes = probes.with_advice(advice);
        let (code, body) = ask(&probes, "/readyz?verbose&exclude=data").await;
        assert!(
            code == 200 && body.contains("\n[!]permissions: one is missing\nreadyz check passed\n"),
            "{body}"
        );
        assert!(!ask(&probes, "/livez?verbose").await.1.contains("[!]"));
        assert!(probes.respond("/readyz/", &Query::default()).is_none());
        assert!(probes.respond("/readyz/none", &Query::default()).is_none());
        assert!(probes.respond("/metrics", &Query::default()).is_none());
    }
}
