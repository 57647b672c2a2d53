//! A real control plane: etcd, kube-apiserver, controllers, scheduler, and a node with real containers, all from
//! their published Go modules; or a cluster that is given.
//!
//! Promises: everything a plane has on this machine is gone when it is dropped, when a test panics and when the tests are
//! killed; what this machine cannot run is skipped aloud; a failure shows the ends of the logs.
//!
//! A given cluster (`FLYBALL_E2E_KUBECONFIG`) serves the tests that need nothing it cannot give. It reaches programs of
//! this machine only at an address of it that `FLYBALL_E2E_ADDRESS` names; its nodes pull the image that
//! `FLYBALL_E2E_IMAGE_NAME` names.

mod address;
mod archive;
mod given;
mod guardian;
mod needs;
mod node;
mod own;
mod part;
mod pki;
mod programs;
mod shared;
mod tools;
mod users;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

pub use archive::BUSYBOX_IMAGE;
pub use needs::{Needs, Version};
pub use node::NODE;
pub use part::Part;
pub use pki::Pki;
pub use shared::Held;
pub use tools::{control_plane, flyball_image, missing, peer, upstream_metrics_server};

use crate::kubectl::Kubectl;
use crate::poll::eventually;
use crate::skip::skipped;
use given::Given;
use guardian::Guardian;
use own::Own;
use users::{Cluster, by_token};

/// Longest time for a namespace to go.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(90);

/// How long tokens of service accounts hold.
const TOKEN_DURATION: &str = "4h";

/// A control plane. Dropping it removes it, or what the tests left in a given one.
#[derive(Debug)]
pub struct Plane {
    needs: Needs,
    viewer: Kubectl,
    nobody: Kubectl,
    programs: AtomicU32,
    control: Control,
    guardian: Guardian,
}

#[derive(Debug)]
enum Control {
    Own(Box<Own>),
    Given(Box<Given>),
}

impl Plane {
    /// A plane for one test. `None`, said aloud, when it cannot be had here.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn alone(needs: Needs) -> Option<Self> {
        if needs.containers {
            // A machine has room for one node.
            shared::release();
        }
        Self::begin(needs)
    }

    fn begin(needs: Needs) -> Option<Self> {
        let given = given::kubeconfig();
        let missing = match &given {
            Some(_) => given::missing(&needs),
            None => missing(&needs),
        };
        match (missing, given) {
            (Some(why), _) => {
                skipped(&why);
                None
            }
            (None, Some(kubeconfig)) => Some(Self::on_given(needs, &kubeconfig)),
            (None, None) => Some(Self::start(needs)),
        }
    }

    /// A plane that tests of equal needs use one after the other. `None`, said aloud, when it cannot be had here.
    ///
    /// # Panics
    /// When it does not start, or did not for an earlier test.
    #[must_use]
    pub fn shared(needs: Needs) -> Option<Held> {
        shared::held(needs)
    }

    fn start(needs: Needs) -> Self {
        let guardian = Guardian::start();
        let own = Own::create(&needs, &guardian);
        own.start(&guardian);
        let user = |name: &str| own.kubectl().with_kubeconfig(Path::new(&own.kubeconfig(name, &[])));
        let (viewer, nobody) = (user("viewer"), user("nobody"));
        own.kubectl().ok(&[
            "create",
            "clusterrolebinding",
            "e2e-viewer",
            "--clusterrole=view",
            "--user=viewer",
        ]);
        let control = Control::Own(Box::new(own));
        let plane = Self { needs, viewer, nobody, programs: AtomicU32::new(0), control, guardian };
        plane.load_flyball();
        plane
    }

    fn on_given(needs: Needs, kubeconfig: &Path) -> Self {
        let guardian = Guardian::start();
        let (given, viewer, nobody) = Given::prepare(kubeconfig, guardian.folder());
        let control = Control::Given(Box::new(given));
        Self { needs, viewer, nobody, programs: AtomicU32::new(0), control, guardian }
    }

    /// What it was started for.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// kubectl as a member of `system:masters`; in a given cluster, as the user of its kubeconfig.
    #[must_use]
    pub fn admin(&self) -> &Kubectl {
        match &self.control {
            Control::Own(own) => own.kubectl(),
            Control::Given(given) => given.kubectl(),
        }
    }

    /// kubectl as a user with the ClusterRole `view`, and all that is aggregated to it, everywhere.
    #[must_use]
    pub fn viewer(&self) -> &Kubectl {
        &self.viewer
    }

    /// kubectl as a user who is known and has no rights.
    #[must_use]
    pub fn nobody(&self) -> &Kubectl {
        &self.nobody
    }

    /// kubectl as the user of another kubeconfig.
    #[must_use]
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Kubectl {
        self.admin().with_kubeconfig(kubeconfig)
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        self.admin().kubeconfig()
    }

    fn cluster(&self) -> &Cluster {
        match &self.control {
            Control::Own(own) => own.cluster(),
            Control::Given(given) => given.cluster(),
        }
    }

    /// `https://…` of the API server.
    #[must_use]
    pub fn url(&self) -> &str {
        self.cluster().url()
    }

    /// Certificate of the authority behind the API server's own; empty when a given kubeconfig names none.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        self.cluster().authority_pem()
    }

    /// Folder that ends with the plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.guardian.folder()
    }

    /// kubectl as administrator in namespace `name`, made now; one left over from an earlier test is removed first.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Kubectl {
        self.remove_namespace(name);
        self.admin().ok(&["create", "namespace", name]);
        let kubectl = self.admin().in_namespace(name);
        // Pods are refused before it is there.
        kubectl.eventually_prints(NAMESPACE_LIMIT, &["get", "serviceaccount", "default"], "default");
        kubectl
    }

    /// Removes a namespace and waits until it is gone.
    ///
    /// # Panics
    /// When it does not go.
    pub fn remove_namespace(&self, name: &str) {
        let state = || self.admin().run(&["get", "namespace", name, "--output", "yaml"]).to_string();
        self.admin().ok(&["delete", "namespace", name, "--ignore-not-found", "--wait=false"]);
        eventually(NAMESPACE_LIMIT, &format!("namespace {name} is gone"), state, || {
            let found =
                self.admin().ok(&["get", "namespace", name, "--ignore-not-found", "--output", "name"]);
            if found.trim().is_empty() { Ok(()) } else { Err(found) }
        });
    }

    /// A token of a service account, as its pods have; for other audiences than the API server's if any are named.
    ///
    /// # Panics
    /// When the API server gives none.
    #[must_use]
    pub fn token_of(&self, namespace: &str, service_account: &str, audiences: &[&str]) -> String {
        let duration = format!("--duration={TOKEN_DURATION}");
        let audiences: Vec<_> = audiences.iter().map(|audience| format!("--audience={audience}")).collect();
        let mut arguments = vec!["create", "token", service_account, &duration];
        arguments.extend(audiences.iter().map(String::as_str));
        self.admin().in_namespace(namespace).ok(&arguments).trim().to_owned()
    }

    /// A kubeconfig with a token of a service account.
    ///
    /// # Panics
    /// When the API server gives none.
    #[must_use]
    pub fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.token_of(namespace, service_account, &[]);
        self.kubeconfig_with(&format!("{namespace}-{service_account}"), &json!({"token": token}), namespace)
    }

    /// A kubeconfig file `name` with these credentials: the `user` of a kubeconfig.
    #[must_use]
    pub fn kubeconfig_with(&self, name: &str, user: &serde_json::Value, namespace: &str) -> PathBuf {
        self.cluster().write_kubeconfig(&self.folder().join("users").join(name), user, namespace)
    }

    /// A kubeconfig with this token.
    #[must_use]
    pub fn kubeconfig_by_token(&self, name: &str, token: &str) -> PathBuf {
        self.kubeconfig_with(name, &by_token(token), "default")
    }

    fn own(&self) -> &Own {
        match &self.control {
            Control::Own(own) => own,
            Control::Given(_) => {
                panic!("a given cluster has no parts to control: say Needs::own_control_plane")
            }
        }
    }

    /// Its keys.
    ///
    /// # Panics
    /// On a given cluster: say [`Needs::own_control_plane`].
    #[must_use]
    pub fn pki(&self) -> &Pki {
        &self.own().pki
    }

    /// An address of this machine that the API server reaches and nobody else uses.
    ///
    /// # Panics
    /// On a given cluster that was not needed to reach this machine.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        match &self.control {
            Control::Own(own) => own.addresses.next(),
            Control::Given(_) => given::address().expect("Needs::client need not reach this machine"),
        }
    }

    /// Ends a part as an administrator would; nothing happens when it does not run.
    ///
    /// # Panics
    /// When it does not end; on a given cluster.
    pub fn stop(&self, part: Part) {
        self.own().end(part, Signal::TERM);
    }

    /// Ends a part as a crash would.
    ///
    /// # Panics
    /// On a given cluster.
    pub fn kill(&self, part: Part) {
        self.own().end(part, Signal::KILL);
    }

    /// Starts a part that was stopped and waits until it works.
    ///
    /// # Panics
    /// When it does not; on a given cluster.
    pub fn start_part(&self, part: Part) {
        self.own().launch(part, &self.guardian);
        self.own().ready(part);
    }

    /// Stops a part and starts it again.
    ///
    /// # Panics
    /// As [`Plane::stop`] and [`Plane::start_part`].
    pub fn restart(&self, part: Part) {
        self.stop(part);
        self.start_part(part);
    }

    /// Flags a part gets besides its own from its next start on.
    ///
    /// # Panics
    /// On a given cluster.
    pub fn set_flags(&self, part: Part, flags: &[&str]) {
        self.own().set_flags(part, flags);
    }

    /// Starts the controller manager again, with or without its loop of HPAs.
    ///
    /// # Panics
    /// As [`Plane::restart`].
    pub fn set_hpa_loop(&self, on: bool) {
        self.own().set_hpa_loop(on);
        self.restart(Part::ControllerManager);
    }

    /// The log of a part.
    ///
    /// # Panics
    /// On a given cluster.
    #[must_use]
    pub fn log_of(&self, part: Part) -> PathBuf {
        self.own().log(part)
    }

    /// The ends of all logs, for messages.
    #[must_use]
    pub fn state(&self) -> String {
        match &self.control {
            Control::Own(own) => own.tails(),
            Control::Given(_) => "a given cluster\n".to_owned(),
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.state());
        }
        // Before the fields: programs would end one after the other, each with its time to do so.
        self.guardian.finish();
    }
}
