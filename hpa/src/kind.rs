//! Which kind of object is acted on: the built-in HorizontalPodAutoscaler, or our own of the same shape. Pure.

use crate::config::Mode;
use kube::api::ApiResource;

/// Group and version of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiKind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) api_version: &'static str,
}

impl ApiKind {
    /// `autoscaling/v2`, which kube-controller-manager acts on too.
    pub(crate) const BUILT_IN: Self =
        ApiKind { group: "autoscaling", version: "v2", api_version: "autoscaling/v2" };
    /// The kind of the CRD in `deploy/overlays/hpa-own-kind`, which nobody else acts on.
    pub(crate) const OWN: Self =
        ApiKind { group: "autoscaling.flyball.io", version: "v1", api_version: "autoscaling.flyball.io/v1" };

    /// The kind that a mode acts on.
    pub(crate) fn of(mode: Mode) -> Self {
        if mode == Mode::OwnKind { Self::OWN } else { Self::BUILT_IN }
    }

    /// The resource, for watches.
    pub(crate) fn resource(self) -> ApiResource {
        ApiResource {
            group: self.group.into(),
            version: self.version.into(),
            api_version: self.api_version.into(),
            kind: "HorizontalPodAutoscaler".into(),
            plural: "horizontalpodautoscalers".into(),
        }
    }
}
