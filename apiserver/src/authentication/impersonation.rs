//! Acting as somebody else: the `Impersonate-*` headers, allowed by the verb `impersonate`.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::attributes::Attributes;
use crate::authorization::{Authorizer, Decision};
use crate::query::decode;
use crate::status::Status;
use crate::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";

/// The user a request acts as; the headers are removed.
///
/// # Errors
/// 403 when the user may not impersonate one of the things asked for, 500 when nobody could decide, 400 when a group,
/// extra or uid was given without a user.
pub(crate) async fn apply(
    user: User,
    headers: &mut HeaderMap,
    authorizer: &dyn Authorizer,
) -> Result<User, Status> {
    let Some(wanted) = Wanted::take(headers)? else { return Ok(user) };
    for attributes in wanted.permissions() {
        match authorizer.authorize(&user, &attributes).await {
            Ok(Decision::Allow) => {}
            Ok(Decision::Deny { reason }) => return Err(refused(&user, &attributes, &reason)),
            Err(error) => return Err(Status::internal(error)),
        }
    }
    Ok(wanted.into_user())
}

/// 403 for attributes, with the authorizer's reason appended.
pub(crate) fn refused(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let why = attributes.refusal(user);
    let why = if reason.is_empty() { why } else { format!("{why}: {reason}") };
    Status::forbidden(&attributes.group, &attributes.resource, &attributes.name, &why)
}

/// Texts as Go prints them in upstream's message.
fn go_texts(texts: &[String]) -> String {
    if texts.is_empty() {
        return "[]string(nil)".to_owned();
    }
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[]string{{{}}}", texts.join(", "))
}

fn go_extra(extra: &BTreeMap<String, Vec<String>>) -> String {
    if extra.is_empty() {
        return "map[string][]string(nil)".to_owned();
    }
    let entries: Vec<String> =
        extra.iter().map(|(key, values)| format!("{key:?}:{}", go_texts(values))).collect();
    format!("map[string][]string{{{}}}", entries.join(", "))
}

struct Wanted {
    name: String,
    groups: Vec<String>,
    uid: Option<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn take(headers: &mut HeaderMap) -> Result<Option<Self>, Status> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let name = headers.get(USER).map(text).unwrap_or_default();
        let groups: Vec<String> = headers.get_all(GROUP).iter().map(text).collect();
        let uid = headers.get(UID).map(text).filter(|uid| !uid.is_empty());
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for (header, value) in &*headers {
            if let Some(key) = header.as_str().strip_prefix(EXTRA_PREFIX) {
                let key = decode(key, false).unwrap_or_else(|| key.to_owned());
                extra.entry(key).or_default().push(text(value));
            }
        }
        let names: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
        names.into_iter().for_each(|name| {
            headers.remove(name);
        });
        if name.is_empty() {
            let nothing = groups.is_empty() && uid.is_none() && extra.is_empty();
            let what = || {
                let uid = uid.as_deref().unwrap_or("");
                let (groups, extra) = (go_texts(&groups), go_extra(&extra));
                format!(
                    "requested &user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{groups}, Extra:{extra}}} without \
                     impersonating a user name"
                )
            };
            return if nothing { Ok(None) } else { Err(Status::bad_request(what())) };
        }
        Ok(Some(Self { name, groups, uid, extra }))
    }

    /// What the requesting user must be allowed, one check per thing asked for.
    fn permissions(&self) -> Vec<Attributes> {
        let of = |group: &str, resource: &str, name: &str| {
            Attributes::resource("impersonate", group, resource, "", name)
        };
        let user = match self.service_account() {
            Some((namespace, name)) => {
                Attributes::resource("impersonate", "", "serviceaccounts", namespace, name)
            }
            None => of("", "users", &self.name),
        };
        let groups = self.groups.iter().map(|group| of("", "groups", group));
        let uid = self.uid.iter().map(|uid| of(AUTHENTICATION_GROUP, "uids", uid));
        let extra = self.extra.iter().flat_map(|(key, values)| {
            values.iter().map(move |value| Attributes {
                subresource: key.clone(),
                ..of(AUTHENTICATION_GROUP, "userextras", value)
            })
        });
        std::iter::once(user).chain(groups).chain(uid).chain(extra).collect()
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
    }

    fn into_user(self) -> User {
        let mut groups = self.groups.clone();
        if groups.is_empty()
            && let Some((namespace, _)) = self.service_account()
        {
            groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
        }
        let (wanted, other) = match self.name.as_str() {
            ANONYMOUS => (UNAUTHENTICATED, AUTHENTICATED),
            _ => (AUTHENTICATED, UNAUTHENTICATED),
        };
        if !groups.iter().any(|group| group == wanted || group == other) {
            groups.push(wanted.to_owned());
        }
        User { name: self.name, uid: self.uid, groups, extra: self.extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::BoxFuture;

    /// Allows what the list names as `resource/name`.
    struct Only(&'static [&'static str]);

    impl Authorizer for Only {
        fn authorize<'a>(
            &'a self,
            _: &'a User,
            attributes: &'a Attributes,
        ) -> BoxFuture<'a, Result<Decision, String>> {
            let asked = format!("{}/{}", attributes.resource, attributes.name);
            let allowed = attributes.verb == "impersonate" && self.0.contains(&asked.as_str());
            Box::pin(async move { Ok(if allowed { Decision::Allow } else { Decision::deny() }) })
        }
    }

    async fn run(headers: &[(&str, &str)], allowed: &'static [&'static str]) -> Result<User, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let result = apply(User::new("admin", ["g"]), &mut map, &Only(allowed)).await;
        assert!(map.is_empty(), "headers are removed: {map:?}");
        result.map_err(|status| status.code())
    }

    #[tokio::test]
    async fn impersonation_needs_permission_for_each_part() {
        let bob = [("Impersonate-User", "bob"), ("Impersonate-Group", "dev")];
        assert_eq!(run(&bob, &["users/bob"]).await, Err(403));
        assert_eq!(
            run(&bob, &["users/bob", "groups/dev"]).await,
            Ok(User::new("bob", ["dev", AUTHENTICATED]))
        );
        assert_eq!(run(&[], &[]).await, Ok(User::new("admin", ["g"])));
        assert_eq!(run(&[("Impersonate-Group", "dev")], &["groups/dev"]).await, Err(400));
        let account = [("Impersonate-User", "system:serviceaccount:ns:a")];
        let user = run(&account, &["serviceaccounts/a"]).await.unwrap();
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED]);
        let extra = [("Impersonate-User", "bob"), ("Impersonate-Extra-Scopes", "view")];
        let user = run(&extra, &["users/bob", "userextras/view"]).await.unwrap();
        assert_eq!(user.extra["scopes"], ["view"]);
    }
}
