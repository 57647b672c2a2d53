//! Followers ask the leader in the account that all replicas share: the leader lets that account read decisions without a
//! role of its own. Everybody else is judged by the cluster.

use super::object::GROUP;
use crate::cluster::Api;
use flyball_apiserver::authorization::Decision;
use flyball_apiserver::{Attributes, Authorizer, User};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// See the module.
pub(crate) struct OwnAccount {
    api: Api,
    /// Name of our own account, once the API server has told it.
    name: OnceCell<String>,
    others: Arc<dyn Authorizer>,
}

impl OwnAccount {
    pub(crate) fn new(api: &Api, others: Arc<dyn Authorizer>) -> Self {
        OwnAccount { api: api.without_fence(), name: OnceCell::new(), others }
    }

    /// Whether these are ourselves; not, where the API server does not say who we are.
    async fn is_own(&self, user: &User) -> bool {
        let ask = async || {
            let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
            let answer = self.api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
            let name = answer
                .ok()
                .and_then(|answer| answer["status"]["userInfo"]["username"].as_str().map(str::to_owned));
            name.filter(|name| !name.is_empty()).ok_or(())
        };
        self.name.get_or_try_init(ask).await.is_ok_and(|name| *name == user.name)
    }
}

impl Authorizer for OwnAccount {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(async move {
            let reads = attributes.group == GROUP && attributes.is_read_only();
            // Service accounts only: nobody else shares a name with this program.
            if reads && user.name.starts_with("system:serviceaccount:") && self.is_own(user).await {
                return Ok(Decision::Allow);
            }
            self.others.authorize(user, attributes).await
        })
    }
}
