//! Strategic merge patch: like a JSON merge patch, but lists whose entries have a key are merged entry by entry.
//!
//! Directives: `$patch: delete|replace|merge` in a map (or in a list's entry), `$retainKeys`,
//! `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>`, as upstream's `strategicpatch` package.

use serde_json::{Map, Value};

use super::merge_keys::{ListRule, rule};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Patches an object of `kind` in place.
pub(super) fn merge(kind: &str, object: &mut Value, patch: &Value) -> Result<(), String> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err("a strategic merge patch must be a JSON object".to_owned());
    };
    merge_map(kind, object, patch)
}

fn merge_map(kind: &str, object: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), String> {
    match patch.get(PATCH).map(|directive| directive.as_str().unwrap_or("")) {
        None | Some("merge") => {}
        Some("replace") => {
            *object = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            object.clear();
            return Ok(());
        }
        Some(other) => return Err(format!("unknown directive $patch: {other}")),
    }
    if let Some(kept) = patch.get(RETAIN_KEYS) {
        let kept = kept.as_array().ok_or("$retainKeys must be a list")?;
        object.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().ok_or_else(|| format!("{name} must be a list"))?;
            if let Some(Value::Array(list)) = object.get_mut(field) {
                list.retain(|entry| !gone.contains(entry));
            }
        } else if !name.starts_with('$') {
            merge_member(kind, object, name, value)?;
        }
    }
    for (name, order) in patch {
        if let (Some(field), Value::Array(order)) = (name.strip_prefix(ORDER), order)
            && let Some(Value::Array(list)) = object.get_mut(field)
        {
            sort(list, order, rule(kind, field));
        }
    }
    Ok(())
}

fn merge_member(
    kind: &str,
    object: &mut Map<String, Value>,
    name: &str,
    value: &Value,
) -> Result<(), String> {
    if value.is_null() {
        object.remove(name);
        return Ok(());
    }
    match (object.get_mut(name), value) {
        (Some(Value::Object(old)), Value::Object(patch)) => merge_map(kind, old, patch),
        (Some(Value::Array(old)), Value::Array(patch)) => merge_list(kind, name, old, patch),
        (_, Value::Object(patch)) => {
            let mut fresh = Map::new();
            merge_map(kind, &mut fresh, patch)?;
            object.insert(name.to_owned(), fresh.into());
            Ok(())
        }
        (_, Value::Array(patch)) => {
            let mut fresh = Vec::new();
            merge_list(kind, name, &mut fresh, patch)?;
            object.insert(name.to_owned(), fresh.into());
            Ok(())
        }
        (_, value) => {
            object.insert(name.to_owned(), value.clone());
            Ok(())
        }
    }
}

fn merge_list(kind: &str, field: &str, list: &mut Vec<Value>, patch: &[Value]) -> Result<(), String> {
    if patch.iter().any(|entry| directive(entry) == Some("replace")) {
        let entries = patch.iter().filter(|entry| directive(entry) != Some("replace"));
        *list = entries.cloned().collect();
        return Ok(());
    }
    match rule(kind, field) {
        ListRule::Replace => *list = patch.to_vec(),
        ListRule::Set => {
            for entry in patch {
                if !list.contains(entry) {
                    list.push(entry.clone());
                }
            }
        }
        ListRule::ByKey(key) => {
            for entry in patch {
                merge_entry(kind, field, key, list, entry)?;
            }
        }
    }
    Ok(())
}

fn merge_entry(
    kind: &str,
    field: &str,
    key: &str,
    list: &mut Vec<Value>,
    entry: &Value,
) -> Result<(), String> {
    let patch = entry.as_object().ok_or_else(|| format!("an entry of {field} must be an object"))?;
    let wanted =
        patch.get(key).ok_or_else(|| format!("map: {entry} does not contain declared merge key: {key}"))?;
    if directive(entry) == Some("delete") {
        list.retain(|known| known.get(key) != Some(wanted));
        return Ok(());
    }
    let known = list.iter_mut().find(|known| known.get(key) == Some(wanted));
    match known.and_then(Value::as_object_mut) {
        Some(known) => merge_map(kind, known, patch),
        None => {
            let mut fresh = Map::new();
            merge_map(kind, &mut fresh, patch)?;
            list.push(fresh.into());
            Ok(())
        }
    }
}

fn directive(entry: &Value) -> Option<&str> {
    entry.get(PATCH).and_then(Value::as_str)
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Puts the named entries into the given order. Entries only the server knows keep their place before the entry they
/// stood before.
fn sort(list: &mut Vec<Value>, order: &[Value], rule: ListRule) {
    let rank = |entry: &Value| match rule {
        ListRule::ByKey(key) => {
            order.iter().position(|wanted| wanted.get(key).is_some() && wanted.get(key) == entry.get(key))
        }
        _ => order.iter().position(|wanted| wanted == entry),
    };
    let mut named: Vec<(usize, usize, Value)> = Vec::new();
    let mut others: Vec<(usize, Value)> = Vec::new();
    for (index, entry) in std::mem::take(list).into_iter().enumerate() {
        match rank(&entry) {
            Some(rank) => named.push((rank, index, entry)),
            None => others.push((index, entry)),
        }
    }
    named.sort_by_key(|(rank, _, _)| *rank);
    let mut others = others.into_iter().peekable();
    for (_, index, entry) in named {
        while let Some((_, other)) = others.next_if(|(other, _)| *other < index) {
            list.push(other);
        }
        list.push(entry);
    }
    list.extend(others.map(|(_, entry)| entry));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(kind: &str, mut object: Value, patch: Value, expected: Value) {
        merge(kind, &mut object, &patch).unwrap();
        assert_eq!(object, expected);
    }

    #[test]
    fn containers_merge_by_name() {
        check(
            "Deployment",
            json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}]}),
            json!({"containers": [
                {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b"}]}),
        );
    }

    #[test]
    fn entries_and_members_are_deleted() {
        check(
            "Deployment",
            json!({"a": 1, "containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"a": null, "containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b"}]}),
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced() {
        check(
            "Pod",
            json!({"tolerations": [1, 2]}),
            json!({"tolerations": [3]}),
            json!({"tolerations": [3]}),
        );
        check(
            "Pod",
            json!({"containers": [{"name": "a"}]}),
            json!({"containers": [{"$patch": "replace"}]}),
            json!({
            "containers": []}),
        );
    }

    #[test]
    fn ports_depend_on_the_kind() {
        check(
            "Service",
            json!({"ports": [{"port": 80, "targetPort": 1}]}),
            json!({"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]}),
            json!({"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]}),
        );
        check(
            "Pod",
            json!({"ports": [{"containerPort": 80, "name": "x"}]}),
            json!({"ports": [{"containerPort": 80, "name": "y"}]}),
            json!({"ports": [{"containerPort": 80, "name": "y"}]}),
        );
    }

    #[test]
    fn sets_grow_and_shrink() {
        check(
            "Pod",
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}),
            json!({"finalizers": ["b", "c"]}),
        );
    }

    #[test]
    fn kept_keys_drop_the_rest() {
        check(
            "Deployment",
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
    }

    #[test]
    fn the_given_order_holds() {
        check(
            "Deployment",
            json!({"containers": [{"name": "server-only"}, {"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}, {"name": "c"}],
                   "containers": [{"name": "c"}]}),
            json!({"containers": [{"name": "server-only"}, {"name": "b"}, {"name": "a"}, {"name": "c"}]}),
        );
    }

    #[test]
    fn an_entry_without_its_key_is_refused() {
        let mut object = json!({"containers": []});
        assert!(merge("Pod", &mut object, &json!({"containers": [{"image": "x"}]})).is_err());
    }
}
