//! What a test needs of a cluster.

/// Which Kubernetes release the control plane is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// The one in `e2e/controlplane/go.mod`.
    #[default]
    Current,
    /// Three minor releases older: the one in `e2e/controlplane/oldest.mod`.
    Oldest,
}

/// What a test needs of a cluster; what is not named may be either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    pub(super) version: Version,
    pub(super) hpa_loop: Option<bool>,
    pub(super) containers: bool,
    pub(super) own_control_plane: bool,
    pub(super) reach: bool,
}

impl Needs {
    /// A control plane that reaches programs of this machine: no node, no loop of HPAs unless asked for.
    #[must_use]
    pub fn light() -> Self {
        Self {
            version: Version::Current,
            hpa_loop: None,
            containers: false,
            own_control_plane: false,
            reach: true,
        }
    }

    /// A cluster to talk to, no more: it need not reach this machine.
    #[must_use]
    pub fn client() -> Self {
        Self { reach: false, ..Self::light() }
    }

    /// The built-in loop of HPAs runs.
    #[must_use]
    pub fn hpa_loop(self) -> Self {
        Self { hpa_loop: Some(true), ..self }
    }

    /// The built-in loop of HPAs does not run.
    #[must_use]
    pub fn no_hpa_loop(self) -> Self {
        Self { hpa_loop: Some(false), ..self }
    }

    /// The control plane is of this release, which only one of our own can promise.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        Self { version, own_control_plane: true, ..self }
    }

    /// A node that runs containers, and the image of `flyball`.
    #[must_use]
    pub fn containers(self) -> Self {
        Self { containers: true, ..self }
    }

    /// The test stops parts of the control plane, or uses its keys.
    #[must_use]
    pub fn own_control_plane(self) -> Self {
        Self { own_control_plane: true, ..self }
    }

    /// Whether a plane of our own that was started for these needs has what `other` asks for.
    pub(super) fn serve(&self, other: &Self) -> bool {
        self.version == other.version
            && self.containers == other.containers
            && other.hpa_loop.is_none_or(|on| on == (self.hpa_loop == Some(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_plane_serves_tests_that_ask_for_no_more() {
        let light = Needs::light();
        assert!(light.serve(&Needs::client()) && light.serve(&Needs::light().own_control_plane()));
        assert!(light.serve(&Needs::light().no_hpa_loop()) && !light.serve(&Needs::light().hpa_loop()));
        assert!(
            Needs::light().hpa_loop().serve(&light)
                && !Needs::light().hpa_loop().serve(&light.clone().no_hpa_loop())
        );
        assert!(
            !light.serve(&Needs::light().containers())
                && !light.serve(&light.clone().version(Version::Oldest))
        );
    }
}
