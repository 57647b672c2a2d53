//! A cluster that is given by a kubeconfig: what it can be used for, and the users made in it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::kubectl::Kubectl;
use crate::plane::Version;
use crate::plane::needs::Needs;
use crate::plane::pki::write_private;
use crate::plane::tools::control_plane;
use crate::plane::users::{Cluster, by_token};
use crate::run::run;

/// Namespace of the users; removed at the end.
const NAMESPACE: &str = "flyball-e2e";

/// Name of the binding that gives the viewer its right.
const BINDING: &str = "flyball-e2e-viewer";

/// Longest time to remove the users.
const UNDO_LIMIT: Duration = Duration::from_secs(60);

/// The given cluster's kubeconfig.
pub(super) fn kubeconfig() -> Option<PathBuf> {
    let given = std::env::var_os("FLYBALL_E2E_KUBECONFIG")?;
    let path = std::fs::canonicalize(&given);
    Some(path.unwrap_or_else(|error| panic!("FLYBALL_E2E_KUBECONFIG={}: {error}", given.display())))
}

/// The address of this machine that the given cluster reaches.
pub(super) fn address() -> Option<Ipv4Addr> {
    let given = std::env::var("FLYBALL_E2E_ADDRESS").ok()?;
    Some(given.parse().unwrap_or_else(|error| panic!("FLYBALL_E2E_ADDRESS={given}: {error}")))
}

/// The image that the given cluster's nodes can pull.
pub(super) fn image_name() -> Option<String> {
    std::env::var("FLYBALL_E2E_IMAGE_NAME").ok()
}

/// Why the given cluster does not serve these needs.
pub(super) fn missing(needs: &Needs) -> Option<String> {
    let reasons = [
        (
            needs.own_control_plane,
            "it needs power over the control plane, which a given cluster does not give",
        ),
        (
            needs.hpa_loop == Some(false),
            "it needs the built-in loop of HPAs off, which a given cluster has on",
        ),
        (needs.containers && image_name().is_none(), "a given cluster's nodes need an image: say --image"),
        (
            needs.reach && address().is_none(),
            "FLYBALL_E2E_ADDRESS does not name an address of this machine that the given cluster reaches",
        ),
    ];
    reasons.into_iter().find(|(missing, _)| *missing).map(|(_, why)| why.to_owned())
}

/// A given cluster with the users of the tests.
#[derive(Debug)]
pub(super) struct Given {
    kubectl: Kubectl,
    cluster: Cluster,
}

impl Given {
    /// Makes a viewer and a nobody, whose kubectl are returned too.
    ///
    /// # Panics
    /// When the kubeconfig's user may not make them.
    pub fn prepare(kubeconfig: &Path, folder: &Path) -> (Self, Kubectl, Kubectl) {
        for name in ["bin", "home", "logs", "users"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder of the plane is made");
        }
        let mut program = PathBuf::from("kubectl");
        if let Some(built) = control_plane(Version::Current) {
            program = folder.join("bin/kubectl");
            std::os::unix::fs::symlink(built, &program).expect("kubectl is linked");
        }
        let kubectl =
            Kubectl::new(kubeconfig, &folder.join("home"), &folder.join("logs/none")).with_program(&program);
        let cluster = Cluster::given(&program, kubeconfig);
        let given = Self { kubectl, cluster };
        let undo = undo(&program, kubeconfig, folder);
        // For the guardian: a plane that tests share is not dropped.
        write_private(&folder.join("undo"), &undo);
        let mut command = Command::new("sh");
        command.args(["-c", &undo]);
        let finished = run(command, "", UNDO_LIMIT);
        assert!(finished.success(), "users of an earlier run are not removed: {finished}");
        let admin = &given.kubectl;
        admin.ok(&["create", "namespace", NAMESPACE]);
        let account = format!("--serviceaccount={NAMESPACE}:viewer");
        admin.ok(&["create", "clusterrolebinding", BINDING, "--clusterrole=view", &account]);
        let user = |name: &str| {
            let place = admin.in_namespace(NAMESPACE);
            place.ok(&["create", "serviceaccount", name]);
            let token = place.ok(&["create", "token", name, "--duration=4h"]);
            let path = folder.join("users").join(name);
            let kubeconfig = given.cluster.write_kubeconfig(&path, &by_token(token.trim()), "default");
            admin.with_kubeconfig(&kubeconfig)
        };
        let (viewer, nobody) = (user("viewer"), user("nobody"));
        (given, viewer, nobody)
    }

    /// kubectl as the kubeconfig's user.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Where it is.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// The commands that remove the users.
fn undo(kubectl: &Path, kubeconfig: &Path, folder: &Path) -> String {
    let kubectl = format!(
        "HOME='{}' '{}' --kubeconfig='{}' delete --ignore-not-found",
        folder.join("home").display(),
        kubectl.display(),
        kubeconfig.display()
    );
    format!("{kubectl} clusterrolebinding {BINDING} && {kubectl} namespace {NAMESPACE}\n")
}
