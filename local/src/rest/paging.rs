//! `limit` and `continue` of lists.
//!
//! A continue token names the last object of the page before and the version the first page was read at. Later pages are
//! read from the present, which is what upstream also does once the old version is compacted away.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyball_apiserver::query::Query;
use flyball_apiserver::status::Status;
use serde_json::{Map, Value, json};

use crate::registry::{errors, json};

/// Which part of a list is wanted.
pub(super) struct Page {
    limit: usize,
    after: Option<(String, String)>,
    resource_version: Option<u64>,
}

impl Page {
    pub(super) fn of(query: &Query) -> Result<Self, Status> {
        let limit = match query.first("limit").unwrap_or("") {
            "" => 0,
            // Less than nothing is no limit, as upstream.
            text => text.parse::<i64>().map(|limit| usize::try_from(limit).unwrap_or(0)).map_err(|_| {
                errors::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            })?,
        };
        let token = query.first("continue").unwrap_or("");
        if token.is_empty() {
            return Ok(Self { limit, after: None, resource_version: None });
        }
        let read = read_token(token);
        let (namespace, name, version) = read.ok_or_else(|| {
            errors::bad_request("continue key is not valid: it was not made by this server")
        })?;
        Ok(Self { limit, after: Some((namespace, name)), resource_version: Some(version) })
    }

    /// The page's objects out of all (sorted by namespace and name); fills the list's metadata.
    pub(super) fn cut(
        &self,
        mut items: Vec<Arc<Value>>,
        now: u64,
        countable: bool,
        metadata: &mut Map<String, Value>,
    ) -> Vec<Arc<Value>> {
        let version = self.resource_version.unwrap_or(now);
        metadata.insert("resourceVersion".into(), version.to_string().into());
        if let Some((namespace, name)) = &self.after {
            let start = items.partition_point(|object| {
                (json::namespace(object), json::name(object)) <= (namespace.as_str(), name.as_str())
            });
            items.drain(..start);
        }
        if self.limit == 0 || items.len() <= self.limit {
            return items;
        }
        let left = items.len() - self.limit;
        items.truncate(self.limit);
        if let Some(last) = items.last() {
            metadata.insert("continue".into(), write_token(last, version).into());
        }
        if countable {
            metadata.insert("remainingItemCount".into(), left.into());
        }
        items
    }
}

fn write_token(last: &Value, version: u64) -> String {
    URL_SAFE_NO_PAD.encode(json!([json::namespace(last), json::name(last), version]).to_string())
}

fn read_token(token: &str) -> Option<(String, String, u64)> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once() {
        let items: Vec<Arc<Value>> =
            (0..7).map(|n| Arc::new(json!({"metadata": {"name": format!("a{n}")}}))).collect();
        let mut seen = Vec::new();
        let mut token = String::new();
        for _ in 0..4 {
            let page = Page::of(&Query::parse(&format!("limit=2&continue={token}"))).unwrap();
            let mut metadata = Map::new();
            seen.extend(page.cut(items.clone(), 9, true, &mut metadata));
            assert_eq!(metadata["resourceVersion"], "9");
            token = metadata.get("continue").and_then(Value::as_str).unwrap_or("").to_owned();
        }
        assert!(token.is_empty());
        assert_eq!(seen, items);
        assert!(Page::of(&Query::parse("continue=nonsense")).is_err());
        assert_eq!(Page::of(&Query::parse("limit=-1")).unwrap().limit, 0);
        assert!(Page::of(&Query::parse("limit=a")).is_err());
    }
}
