//! One question and its answer, by curl.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use flyball_e2e::{SHORT, run};
use serde_json::Value;

/// Headers that clients look at.
const HEADERS: [&str; 6] =
    ["cache-control", "content-encoding", "vary", "x-content-type-options", "retry-after", "allow"];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<String>,
    /// Files of a client certificate and key; `None` for the administrator's.
    pub person: Option<Person>,
    pub http1: bool,
    /// Whether the answer holds measurements or the time.
    pub depends_on_time: bool,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Person {
    Nobody,
    Certificate(PathBuf),
}

impl Question {
    pub fn get(path: &str) -> Self {
        Question {
            method: "GET",
            path: path.to_owned(),
            headers: Vec::new(),
            person: None,
            http1: false,
            depends_on_time: false,
        }
    }

    pub fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub fn accept(self, accept: &str) -> Self {
        self.header(&format!("Accept: {accept}"))
    }

    pub fn by(mut self, person: Person) -> Self {
        self.person = Some(person);
        self
    }

    pub fn timed(mut self) -> Self {
        self.depends_on_time = true;
        self
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?} by {:?}", self.method, self.path, self.headers, self.person)
    }
}

/// What is answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: String,
    pub content_type: String,
    pub headers: Vec<String>,
    pub body: String,
}

/// Lines of the index of paths that only one of them has: the first two ours.
const OWN_PATHS: [&str; 3] =
    ["    \"/apis/metrics.k8s.io/v1\",\n", "    \"/peer/points\",\n", "    \"/statusz\",\n"];

impl Answer {
    /// Without what only one of them has in an index of paths.
    pub fn without_own_paths(mut self) -> Self {
        if self.body.starts_with("{\n  \"paths\"") {
            self.body = OWN_PATHS.iter().fold(self.body, |body, path| body.replace(path, ""));
        }
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.body.chars().take(1500).collect();
        write!(f, "{} {} {:?} {body:?}", self.code, self.content_type, self.headers)
    }
}

/// Asks a server. `administrator` is the file with the certificate and key of who asks unless the question says so.
pub fn ask(address: SocketAddr, question: &Question, administrator: &Path) -> Answer {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--insecure",
        "--compressed",
        "--path-as-is",
        "--max-time",
        "20",
    ]);
    command.args(["--dump-header", "/dev/stderr"]);
    // What curl adds by itself is not asked for, and its name would make answers pretty.
    for (name, header) in [
        ("Accept:", "Accept:"),
        ("Accept-Encoding:", "Accept-Encoding:"),
        ("User-Agent:", "User-Agent: same-answers"),
    ] {
        if !question.headers.iter().any(|given| given.starts_with(name)) {
            command.args(["--header", header]);
        }
    }
    for header in &question.headers {
        command.args(["--header", header]);
    }
    command.arg(if question.http1 { "--http1.1" } else { "--http2" });
    match question.method {
        // curl would print the head as the body.
        "HEAD" => command.args(["--head", "--output", "/dev/null"]),
        method => command.args(["--request", method]),
    };
    match question.person.as_ref().unwrap_or(&Person::Certificate(administrator.to_owned())) {
        Person::Nobody => {}
        Person::Certificate(file) => drop(command.arg("--cert").arg(file)),
    }
    command.arg(format!("https://{address}{}", question.path));
    let finished = run(command, "", SHORT);
    let mut lines = finished.stderr.lines();
    let code = lines.next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or("").to_owned();
    let mut answer = Answer { code, content_type: String::new(), headers: Vec::new(), body: finished.stdout };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        if name == "content-type" {
            answer.content_type = value.to_owned();
        } else if HEADERS.contains(&name.as_str()) {
            answer.headers.push(format!("{name}: {value}"));
        }
    }
    answer.headers.sort();
    answer
}
