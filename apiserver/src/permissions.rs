//! What a program may do in the cluster, checked before it is needed: each missing permission is told with what will
//! not work without it and how to mend it, and goes from the list by itself when it is granted.

#![allow(clippy::disallowed_methods, reason = "an edge: sleeps between questions to the API server")]

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;

use crate::advice::Advice;
use crate::api_error;

/// Pause before asking again while something is missing or nobody answers.
pub const MISSING_INTERVAL: Duration = Duration::from_secs(15);
/// Pause before asking again when all is well.
pub const GRANTED_INTERVAL: Duration = Duration::from_secs(300);

/// One permission and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// For example `get`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource after a slash.
    pub resource: &'static str,
    /// Namespace; `None` for all of the cluster.
    pub namespace: Option<String>,
    /// Name of the one object; `None` for all.
    pub name: Option<String>,
    /// What does not work without it; ends "without it …".
    pub without: &'static str,
    /// How to grant it.
    pub mend: String,
}

impl Need {
    /// `list nodes`, `get configmaps kube-system/extension-apiserver-authentication`.
    pub fn action(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let place = match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!(" {namespace}/{name}"),
            (Some(namespace), None) => format!(" in namespace {namespace}"),
            (None, Some(name)) => format!(" {name}"),
            (None, None) => String::new(),
        };
        let (resource, sub) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
        format!("{} {resource}{sub}{group}{place}", self.verb)
    }

    fn topic(&self) -> String {
        format!("permission to {}", self.action())
    }

    fn finding(&self, who: &str) -> String {
        format!("{who} may not {}: without it {}; {}", self.action(), self.without, self.mend)
    }

    fn review(&self) -> SelfSubjectAccessReview {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let attributes = ResourceAttributes {
            verb: set(self.verb),
            group: set(self.group),
            resource: set(resource),
            subresource: set(subresource),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        };
        SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
    }
}

/// Asks about all needs until `shutdown`: every [`MISSING_INTERVAL`] while something is missing, else every
/// [`GRANTED_INTERVAL`]. Also tells what is between us and the API server, under [`api_error::TOPIC`].
pub async fn watch(client: kube::Client, needs: Vec<Need>, advice: Advice, shutdown: CancellationToken) {
    loop {
        let asked = shutdown.run_until_cancelled(check(&client, &needs, &advice)).await;
        let Some(all_granted) = asked else { return };
        let pause = if all_granted { GRANTED_INTERVAL } else { MISSING_INTERVAL };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// One round; whether everything is granted.
pub async fn check(client: &kube::Client, needs: &[Need], advice: &Advice) -> bool {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut missing = Vec::new();
    for need in needs {
        match api.create(&PostParams::default(), &need.review()).await {
            Ok(review) => {
                let allowed = review.status.is_some_and(|status| status.allowed);
                if allowed {
                    advice.set(&need.topic(), None);
                } else {
                    missing.push(need);
                }
            }
            Err(error) => {
                let finding = api_error::explain(&error)
                    .unwrap_or_else(|| format!("the API server refuses to say what we may do: {error}"));
                advice.set(api_error::TOPIC, Some(finding));
                return false;
            }
        }
    }
    advice.set(api_error::TOPIC, None);
    if missing.is_empty() {
        return true;
    }
    // Only for the text, so a failure is no failure.
    let who = own_account(client).await.unwrap_or_else(|| "this account".to_owned());
    for need in missing {
        advice.set(&need.topic(), Some(need.finding(&who)));
    }
    false
}

/// Who we are to the API server, if it says so.
pub async fn own_account(client: &kube::Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let name = review.ok().and_then(|review| review.status?.user_info?.username);
    name.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(resource: &'static str, namespace: Option<&str>, name: Option<&str>) -> Need {
        Need {
            verb: "get",
            group: if resource == "apiservices" { "apiregistration.k8s.io" } else { "" },
            resource,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            without: "nothing works",
            mend: "grant it".to_owned(),
        }
    }

    #[test]
    fn texts_name_the_permission() {
        for (need, expected) in [
            (need("nodes/metrics", None, None), "get nodes/metrics"),
            (need("secrets", Some("ns"), Some("s")), "get secrets ns/s"),
            (need("pods", Some("ns"), None), "get pods in namespace ns"),
            (need("apiservices", None, Some("x")), "get apiservices.apiregistration.k8s.io x"),
        ] {
            assert_eq!(need.action(), expected);
        }
        assert_eq!(
            need("nodes", None, None).finding("bob"),
            "bob may not get nodes: without it nothing works; grant it"
        );
        let attributes = need("nodes/metrics", None, None).review().spec.resource_attributes.unwrap();
        assert_eq!(
            (attributes.resource.as_deref(), attributes.subresource.as_deref()),
            (Some("nodes"), Some("metrics"))
        );
    }
}
