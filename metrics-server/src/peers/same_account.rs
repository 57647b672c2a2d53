//! Who may ask for the points: replicas of the same account.

use std::sync::Arc;

use flyball_apiserver::{Attributes, Authorizer, Decision, User, permissions};
use futures_util::future::BoxFuture;
use kube::Client;
use tokio::sync::OnceCell;

use super::PATH;

/// Lets the account that this server itself has ask for the points; everything else is decided by `inner`.
pub(crate) struct SameAccount {
    client: Client,
    /// Asked of the API server when somebody wants the points for the first time.
    own: OnceCell<String>,
    inner: Arc<dyn Authorizer>,
}

impl SameAccount {
    pub(crate) fn new(client: Client, inner: Arc<dyn Authorizer>) -> SameAccount {
        SameAccount { client, own: OnceCell::new(), inner }
    }

    async fn is_own(&self, user: &User) -> bool {
        let ask = || async { permissions::own_account(&self.client).await.ok_or(()) };
        self.own.get_or_try_init(ask).await.is_ok_and(|own| *own == user.name)
    }
}

impl Authorizer for SameAccount {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(async move {
            let points = !attributes.resource_request && attributes.path == PATH && attributes.verb == "get";
            if points && self.is_own(user).await {
                return Ok(Decision::Allow);
            }
            self.inner.authorize(user, attributes).await
        })
    }
}
