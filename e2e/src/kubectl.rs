//! kubectl, pointed at one cluster and one namespace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::poll::eventually;
use crate::program::{Program, log_tail};
use crate::run::{Finished, run};

/// Longest run of one kubectl command.
const LIMIT: Duration = Duration::from_secs(90);

/// What failed waits print of a namespace.
const STATE_COMMANDS: &[&[&str]] = &[
    &["get", "all,hpa,endpointslices", "-o", "wide"],
    &["describe", "pods"],
    &["describe", "hpa"],
    &["get", "events"],
];

/// Most characters of one command of [`STATE_COMMANDS`] that are printed.
const STATE_CHARACTERS: usize = 6_000;

/// Runs kubectl commands.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    log: PathBuf,
    namespace: String,
}

impl Kubectl {
    /// For the cluster behind `kubeconfig`; `home` takes kubectl's caches, `log` is shown when a command fails.
    pub(crate) fn new(kubeconfig: &Path, home: &Path, log: &Path) -> Self {
        let (kubeconfig, home, log) = (kubeconfig.to_owned(), home.to_owned(), log.to_owned());
        Self { program: "kubectl".into(), kubeconfig, home, log, namespace: "default".to_owned() }
    }

    /// The same by another program than the one in PATH.
    pub(crate) fn with_program(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// The same as another user, or for another cluster.
    #[must_use]
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), ..self.clone() }
    }

    /// The file that says where and who.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The same for another namespace, which must exist when it is used.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// The namespace that commands without `-n` and `-A` are about.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--namespace")
            .arg(&self.namespace)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home);
        command
    }

    /// Runs one command, whatever comes of it.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with_input(arguments, "")
    }

    /// Runs one command with `input` on its standard input, whatever comes of it.
    #[must_use]
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        run(self.command(arguments), input, LIMIT)
    }

    /// Starts a command that goes on, such as `logs --follow`.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.command(arguments), &self.home.join("kubectl.log"))
    }

    /// Runs one command that must succeed; returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with_input(arguments, "")
    }

    /// Like [`Kubectl::ok`] with `input` on standard input.
    pub fn ok_with_input(&self, arguments: &[&str], input: &str) -> String {
        let finished = self.run_with_input(arguments, input);
        assert!(finished.success(), "must succeed: {finished}\n{}", log_tail(&self.log));
        finished.stdout
    }

    /// Runs one command that must fail; returns its standard error.
    pub fn fails(&self, arguments: &[&str]) -> String {
        self.fails_with_input(arguments, "")
    }

    /// Like [`Kubectl::fails`] with `input` on standard input.
    pub fn fails_with_input(&self, arguments: &[&str], input: &str) -> String {
        let finished = self.run_with_input(arguments, input);
        let failed = finished.status.is_some_and(|status| !status.success());
        assert!(failed, "must fail: {finished}\n{}", log_tail(&self.log));
        finished.stderr
    }

    /// Applies one object or a List.
    pub fn apply(&self, object: &Value) -> String {
        self.ok_with_input(&["apply", "--filename", "-"], &object.to_string())
    }

    /// Runs a `get` that must succeed; returns its JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{arguments:?} gave no JSON: {error}\n{text}"))
    }

    /// `get --raw PATH` as JSON; `Err` when it is refused, which it may be before there is data.
    ///
    /// # Errors
    /// When the command fails or its output is no JSON: the whole of it.
    pub fn raw(&self, path: &str) -> Result<Value, String> {
        let finished = self.run(&["get", "--raw", path]);
        if !finished.success() {
            return Err(finished.to_string());
        }
        serde_json::from_str(&finished.stdout).map_err(|error| format!("{error}: {finished}"))
    }

    /// Waits until `look` returns a value; on failure shows the state of the namespace and the program's log.
    ///
    /// # Panics
    /// When `limit` passes first.
    pub fn eventually<T>(&self, limit: Duration, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        eventually(limit, what, || self.state(), look)
    }

    /// Waits until a command succeeds with `wanted` in its standard output, which it returns.
    ///
    /// # Panics
    /// When `limit` passes first.
    pub fn eventually_prints(&self, limit: Duration, arguments: &[&str], wanted: &str) -> String {
        self.eventually(limit, &format!("kubectl {} prints {wanted:?}", arguments.join(" ")), || {
            let finished = self.run(arguments);
            let found = finished.success() && finished.stdout.contains(wanted);
            if found { Ok(finished.stdout) } else { Err(finished.to_string()) }
        })
    }

    /// Waits until `deployment/NAME` has `replicas` pods, all of them available, and no others.
    ///
    /// # Panics
    /// When `limit` passes first.
    pub fn eventually_available(&self, limit: Duration, name: &str, replicas: i64) {
        self.eventually(limit, &format!("deployment {name} has {replicas} available pods"), || {
            let deployment = self.json(&["get", "deployment", name]);
            let status = &deployment["status"];
            let count = |field: &str| status[field].as_i64().unwrap_or(0);
            let done = count("observedGeneration")
                == deployment["metadata"]["generation"].as_i64().unwrap_or(-1)
                && count("replicas") == replicas
                && count("updatedReplicas") == replicas
                && count("availableReplicas") == replicas;
            if done { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Everything there is to see in the namespace, and the end of the program's log.
    #[must_use]
    pub fn state(&self) -> String {
        let mut text = format!("state of namespace {}:\n", self.namespace);
        for arguments in STATE_COMMANDS {
            let finished = self.run(arguments).to_string();
            text.extend(finished.chars().take(STATE_CHARACTERS));
            text.push('\n');
        }
        text + &log_tail(&self.log)
    }
}
