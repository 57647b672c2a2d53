//! Views of an object that kubectl asks for: `Table` and `PartialObjectMetadata`.

use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::negotiation::MetaVersion;
use crate::query::Query;
use crate::status::Status;

/// A column. Kubectl shows columns of priority 0 always and the others with `-o wide`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Header as clients see it (kubectl prints it in upper case).
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Format hint: `name` marks the object's name; else for example `quantity`, `duration` or empty.
    pub format: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// 0, or 1 for wide output only.
    pub priority: i32,
}

impl Column {
    /// A string column of priority 0.
    pub const fn new(name: &'static str, format: &'static str, description: &'static str) -> Self {
        Self { name, kind: "string", format, description, priority: 0 }
    }

    /// The same with another type.
    pub const fn of_type(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// The same for wide output only.
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

/// Which part of the object each row carries (`?includeObject=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// `null`.
    None,
    /// Its metadata as PartialObjectMetadata; the default.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query.
    ///
    /// # Errors
    /// 400 for another value.
    pub fn of(query: &Query) -> Result<Self, Status> {
        match query.first("includeObject").unwrap_or("") {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be \
                 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// One row: a cell per column, and the object it stands for (with `kind` and `apiVersion`).
#[derive(Clone, Debug)]
pub struct Row {
    cells: Vec<Value>,
    object: Arc<Value>,
}

/// What an empty list looks like as a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenEmpty {
    /// Columns and an empty list of rows.
    Columns,
    /// `null` for both, as upstream's metrics-server answers.
    Nulls,
}

/// Builds a Table from columns and rows.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    columns: Vec<Column>,
    rows: Vec<Row>,
    metadata: Map<String, Value>,
    when_empty: WhenEmpty,
    headers: bool,
}

/// A Table ready to be written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    kind: &'static str,
    api_version: &'static str,
    metadata: Map<String, Value>,
    column_definitions: Option<Vec<Column>>,
    rows: Option<Vec<WireRow>>,
}

#[derive(Clone, Debug, Serialize)]
struct WireRow {
    cells: Vec<Value>,
    object: RowObject,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum RowObject {
    Null,
    #[serde(serialize_with = "shared")]
    Full(Arc<Value>),
    Partial(Partial),
}

fn shared<S: Serializer>(object: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    Declared { value: object, keys: &OBJECT_KEYS }.serialize(serializer)
}

fn declared_metadata<S: Serializer>(metadata: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    Declared { value: metadata, keys: &METADATA_KEYS }.serialize(serializer)
}

/// How Kubernetes' types declare the fields of objects.
const OBJECT_KEYS: [&str; 9] =
    ["kind", "apiVersion", "metadata", "spec", "status", "timestamp", "window", "usage", "containers"];
/// And those of their metadata.
const METADATA_KEYS: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// A value whose keys are written in the order of their declaration, unknown ones behind.
struct Declared<'a> {
    value: &'a Value,
    keys: &'static [&'static str],
}

impl Serialize for Declared<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(map) = self.value else { return self.value.serialize(serializer) };
        let declared = self.keys.iter().filter_map(|key| map.get_key_value(*key));
        let others = map.iter().filter(|(key, _)| !self.keys.contains(&key.as_str()));
        let mut out = serializer.serialize_map(Some(map.len()))?;
        for (key, value) in declared.chain(others) {
            if key == "metadata" && self.keys == OBJECT_KEYS {
                out.serialize_entry(key, &Declared { value, keys: &METADATA_KEYS })?;
            } else {
                out.serialize_entry(key, value)?;
            }
        }
        out.end()
    }
}

impl TableBuilder {
    /// A table with these columns and no rows; `when_empty` decides what it is if none are added.
    pub fn new(columns: Vec<Column>, when_empty: WhenEmpty) -> Self {
        Self { columns, rows: Vec::new(), metadata: Map::new(), when_empty, headers: true }
    }

    /// Sets the list metadata (`resourceVersion`, `continue`, `remainingItemCount`).
    pub fn metadata(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Leaves the column definitions out, as every event of a watch but the first does.
    pub fn without_headers(mut self) -> Self {
        self.headers = false;
        self
    }

    /// Adds a row. `cells` has one value per column.
    pub fn row(&mut self, cells: Vec<Value>, object: impl Into<Arc<Value>>) -> &mut Self {
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell per column");
        self.rows.push(Row { cells, object: object.into() });
        self
    }

    /// The finished table.
    pub fn build(self, version: MetaVersion, include: IncludeObject) -> Table {
        let nulls = self.rows.is_empty() && self.when_empty == WhenEmpty::Nulls;
        let rows = self.rows.into_iter().map(|row| WireRow {
            cells: row.cells,
            object: match include {
                IncludeObject::None => RowObject::Null,
                IncludeObject::Metadata => RowObject::Partial(Partial::of(&row.object, version)),
                IncludeObject::Object => RowObject::Full(row.object),
            },
        });
        Table {
            kind: "Table",
            api_version: version.api_version(),
            metadata: self.metadata,
            column_definitions: (self.headers && !nulls).then_some(self.columns),
            rows: (!nulls).then(|| rows.collect()),
        }
    }
}

/// `PartialObjectMetadata`: an object without spec and status.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Partial {
    kind: &'static str,
    api_version: &'static str,
    #[serde(serialize_with = "declared_metadata")]
    metadata: Value,
}

impl Partial {
    /// The metadata of an object (`{}` if it has none).
    pub fn of(object: &Value, version: MetaVersion) -> Self {
        Self {
            kind: "PartialObjectMetadata",
            api_version: version.api_version(),
            metadata: object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new())),
        }
    }
}

/// `PartialObjectMetadataList`; each item carries kind and apiVersion.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialList {
    kind: &'static str,
    api_version: &'static str,
    metadata: Value,
    /// `null` without objects, as upstream's conversion leaves it.
    items: Option<Vec<Partial>>,
}

impl PartialList {
    /// The metadata of each object, under the list's own `metadata`.
    pub fn of<'a>(
        metadata: Value,
        objects: impl IntoIterator<Item = &'a Value>,
        version: MetaVersion,
    ) -> Self {
        Self {
            kind: "PartialObjectMetadataList",
            api_version: version.api_version(),
            metadata,
            items: {
                let items: Vec<Partial> =
                    objects.into_iter().map(|object| Partial::of(object, version)).collect();
                Some(items).filter(|items| !items.is_empty())
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: [Column; 2] =
        [Column::new("Name", "name", "the name"), Column::new("Window", "duration", "").wide()];

    fn table(when_empty: WhenEmpty) -> TableBuilder {
        TableBuilder::new(COLUMNS.to_vec(), when_empty)
    }

    fn text(table: &Table) -> String {
        serde_json::to_string(table).unwrap()
    }

    #[test]
    fn rows_carry_what_was_asked_for() {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {}});
        let head = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"the name","priority":0},{"name":"Window","type":"string","format":"duration","description":"","priority":1}],"rows":[{"cells":["n","10s"],"object":"#;
        let partial =
            r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"n"}}"#;
        for (query, expected) in [
            ("includeObject=None", "null".to_owned()),
            ("includeObject=Metadata", partial.to_owned()),
            ("", partial.to_owned()),
            (
                "includeObject=Object",
                r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"spec":{}}"#.to_owned(),
            ),
        ] {
            let mut builder = table(WhenEmpty::Nulls);
            builder.row(vec![json!("n"), json!("10s")], object.clone());
            let include = IncludeObject::of(&Query::parse(query)).unwrap();
            let built = builder.build(MetaVersion::V1, include);
            assert_eq!(text(&built), format!("{head}{expected}}}]}}"), "{query}");
        }
        assert_eq!(IncludeObject::of(&Query::parse("includeObject=x")).unwrap_err().code(), 400);
    }

    #[test]
    fn keys_stand_as_they_are_declared() {
        let metadata =
            json!({"creationTimestamp": "t", "labels": {"b": "1", "a": "2"}, "name": "p", "namespace": "n"});
        let object = json!({"apiVersion": "v1", "containers": [], "kind": "P", "metadata": metadata, "timestamp": null, "window": "0s", "x": 1});
        let metadata = r#"{"name":"p","namespace":"n","creationTimestamp":"t","labels":{"a":"2","b":"1"}}"#;
        let partial = serde_json::to_string(&Partial::of(&object, MetaVersion::V1)).unwrap();
        assert!(partial.ends_with(&format!(r#""metadata":{metadata}}}"#)), "{partial}");
        let mut builder = table(WhenEmpty::Nulls);
        builder.row(vec![json!("p"), json!("")], object);
        let full = text(&builder.build(MetaVersion::V1, IncludeObject::Object));
        let expected = format!(
            r#""object":{{"kind":"P","apiVersion":"v1","metadata":{metadata},"timestamp":null,"window":"0s","containers":[],"x":1}}"#
        );
        assert!(full.contains(&expected), "{full}");
    }

    #[test]
    fn an_empty_list_has_nulls_or_columns() {
        let nulls = table(WhenEmpty::Nulls).build(MetaVersion::V1beta1, IncludeObject::None);
        assert_eq!(
            text(&nulls),
            r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1beta1","metadata":{},"columnDefinitions":null,"rows":null}"#
        );
        let columns = table(WhenEmpty::Columns).metadata("resourceVersion", "7");
        let columns = columns.build(MetaVersion::V1, IncludeObject::None);
        assert!(
            text(&columns).ends_with(r#""rows":[]}"#)
                && text(&columns).contains(r#"{"resourceVersion":"7"}"#)
        );
    }
}
