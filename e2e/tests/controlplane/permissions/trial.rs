//! One run of one program in namespaces and with roles of its own, from which one thing is missing.

use flyball_e2e::Program;
use serde_json::Value;

use super::grants::Grant;
use super::objects;
use super::scene::{COLLECTED_NODE, Scene};
use super::subject::{Subject, Unit};

/// What a program is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Situation {
    /// Everything is new.
    Ordinary,
    /// There is history of HPAs that are gone.
    Remembering,
    /// Nobody says whether another HPA loop runs: mode `auto` as shipped.
    Asking,
    /// A second Flyball scales already.
    Rivalry,
}

/// See the module.
#[derive(Debug)]
pub struct Trial {
    /// Its own namespace; its Lease has this name too.
    pub namespace: String,
    pub port: u16,
    pub situation: Situation,
    /// What is missing; `None`: nothing is.
    pub without: Option<Unit>,
    batch: usize,
    _program: Option<Program>,
}

impl Trial {
    /// Entries of each stored history in [`Situation::Remembering`].
    pub const STALE_ENTRIES: usize = 200;

    /// Not yet installed. `batch` and `number` make its names.
    pub fn new(
        scene: &Scene<'_>,
        batch: usize,
        number: usize,
        situation: Situation,
        without: Option<Unit>,
    ) -> Self {
        let namespace = format!("trial-{batch}-{number}");
        Self { namespace, port: scene.free_port(), situation, without, batch, _program: None }
    }

    /// Namespace of what the manifests have in the collectors' namespace.
    pub fn nodes_namespace(&self) -> String {
        format!("{}-nodes", self.namespace)
    }

    /// Name of what comes late for all trials of the batch.
    pub fn late_name(&self) -> String {
        late_name(self.batch)
    }

    /// User name of the program.
    pub fn user(&self, subject: &Subject) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, subject.account)
    }

    /// A grant as its trial has it.
    pub fn renamed(&self, grant: &Grant) -> Grant {
        let is_lease = grant.resource == "leases" && grant.name.is_some();
        let name = if is_lease { Some(self.namespace.clone()) } else { grant.name.clone() };
        Grant { name, ..grant.clone() }
    }

    /// Everything but the program.
    pub fn objects(&self, subject: &Subject) -> Vec<Value> {
        let mut all = vec![objects::namespace(&self.namespace), objects::namespace(&self.nodes_namespace())];
        all.push(objects::account(&subject.account, &self.namespace));
        for (index, bound) in subject.bound.iter().enumerate() {
            let missing: &[Grant] = match &self.without {
                Some(unit) if unit.role == index => &unit.grants,
                _ => &[],
            };
            all.extend(objects::rights(self, subject, index, bound, missing));
        }
        all.extend(objects::surroundings(self, subject));
        all
    }

    /// Starts the program as its overlay does.
    pub fn start(&mut self, scene: &Scene<'_>, subject: &Subject) {
        let environment = [("POD_NAMESPACE", self.namespace.as_str()), ("NODE_NAME", COLLECTED_NODE)];
        let mut arguments = subject.arguments(&environment);
        for argument in &mut arguments {
            *argument = argument.replace("=flyball-collector/", &format!("={}/", self.nodes_namespace()));
        }
        set(&mut arguments, "bind-address", scene.address);
        set(&mut arguments, "secure-port", self.port);
        match subject.part.as_str() {
            "hpa" => self.set_for_hpa(&mut arguments),
            "adapter" => {
                set(&mut arguments, "prometheus-url", format!("http://{}", scene.history));
                set(&mut arguments, "cert-dir", scene.plane.folder().join(&self.namespace).display());
            }
            "metrics-server" | "server" => {
                if subject.part == "server" {
                    self.set_for_server(scene, &mut arguments);
                }
                set(&mut arguments, "metric-resolution", "3s");
                if arguments.iter().any(|argument| argument.starts_with("--cert-dir=")) {
                    set(&mut arguments, "cert-dir", scene.plane.folder().join(&self.namespace).display());
                }
            }
            _ => {
                set(&mut arguments, "cgroup-root", objects::CGROUP_ROOT);
                let [certificate, key] = objects::collector_files(scene);
                set(&mut arguments, "tls-cert-file", certificate.display());
                set(&mut arguments, "tls-private-key-file", key.display());
            }
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self._program = Some(scene.plane.run_as(&self.namespace, &subject.account, &arguments));
    }

    /// Its own store is its own; what its adapter tells of is another one's, which knows every object.
    fn set_for_server(&self, scene: &Scene<'_>, arguments: &mut Vec<String>) {
        let folder = scene.plane.folder().join(&self.namespace);
        std::fs::create_dir_all(&folder).expect("a folder");
        let sources = folder.join("sources.yaml");
        let text = format!("sources:\n- name: history\n  prometheus: {{url: 'http://{}'}}\n", scene.history);
        std::fs::write(&sources, text).expect("the sources are written");
        set(arguments, "sources", sources.display());
        set(arguments, "storage.tsdb.path", folder.join("store").display());
    }

    fn set_for_hpa(&self, arguments: &mut Vec<String>) {
        // Trials beside each other are not second Flyballs to one another.
        set(arguments, "leader-elect-resource-name", &self.namespace);
        set(arguments, "horizontal-pod-autoscaler-sync-period", "8s");
        let is_fixed = |argument: &String| ["--mode=shadow", "--mode=own-kind"].contains(&argument.as_str());
        let is_fixed = arguments.iter().any(is_fixed);
        if self.situation != Situation::Asking && !is_fixed {
            set(arguments, "mode", "replace");
        }
    }

    /// The end of its log, for messages.
    pub fn log(&self) -> String {
        self._program.as_ref().map(Program::state).unwrap_or_default()
    }

    /// Asks it to end, without waiting.
    pub fn end(&self) {
        if let Some(program) = &self._program {
            program.signal(flyball_e2e::Signal::TERM);
        }
    }
}

/// Name of what comes late for all trials of a batch.
pub fn late_name(batch: usize) -> String {
    format!("late-{batch}")
}

/// Sets a flag, in place of the value it has.
fn set(arguments: &mut Vec<String>, flag: &str, value: impl std::fmt::Display) {
    let start = format!("--{flag}=");
    arguments.retain(|argument| !argument.starts_with(&start));
    arguments.push(format!("{start}{value}"));
}
