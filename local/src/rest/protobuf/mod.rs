//! Bodies in Kubernetes' protobuf encoding: what kubectl's typed commands (`kubectl create …`) and Go controllers send.
//! They are turned into JSON and then treated like any other body. Answers are always JSON, which those clients accept too.

mod schema;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyball_model::time::{go_duration, rfc3339_micros, rfc3339_seconds};
use serde_json::{Map, Value};

use schema::{Field, Fields, Shape, Type};

/// The media type of such bodies.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Every body starts so.
const MAGIC: &[u8] = b"k8s\0";

/// Messages inside messages at most; deeper bodies are refused.
const MAX_DEPTH: usize = 32;

/// The object of a body as JSON, or why there is none.
pub(super) fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope =
        body.strip_prefix(MAGIC).ok_or("the body does not start with the magic number of Kubernetes")?;
    let (mut type_meta, mut raw) = (&[][..], &[][..]);
    for entry in Wire(envelope) {
        match entry? {
            (1, Raw::Bytes(bytes)) => type_meta = bytes,
            (2, Raw::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for entry in Wire(type_meta) {
        match entry? {
            (1, Raw::Bytes(bytes)) => api_version = text(bytes)?,
            (2, Raw::Bytes(bytes)) => kind = text(bytes)?,
            _ => {}
        }
    }
    let name = match kind.as_str() {
        "DeleteOptions" => "meta/v1.DeleteOptions".to_owned(),
        _ => message_name(&api_version, &kind),
    };
    let fields = schema::message(&name).ok_or_else(|| {
        format!("{kind} of {api_version} is not known in protobuf: send it as application/json")
    })?;
    let mut object = Map::new();
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    message(fields, raw, &mut object, 0)?;
    Ok(object.into())
}

/// `apps/v1` and `Deployment` make `apps/v1.Deployment`; groups lose their domain, the core group gets its name.
fn message_name(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        None => format!("core/{api_version}.{kind}"),
        Some((group, version)) => format!("{}/{version}.{kind}", group.split('.').next().unwrap_or(group)),
    }
}

fn message(
    fields: &Fields,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("messages are nested more than {MAX_DEPTH} deep"));
    }
    for entry in Wire(bytes) {
        let (number, raw) = entry?;
        // Fields of newer versions are dropped, as every protobuf reader does.
        let Some(field) = fields.get(&number) else { continue };
        match (field.name, field.shape, field.kind) {
            (None, _, Type::Message(name)) => {
                let Some(fields) = schema::message(name) else { continue };
                message(fields, raw.bytes()?, object, depth + 1)?;
            }
            (None, ..) => {}
            (Some(name), Shape::One, _) => {
                let value = value(field, raw, depth)?;
                if field.keeps_zero || !is_zero(&value) {
                    object.insert(name.to_owned(), value);
                }
            }
            (Some(name), Shape::List, _) => {
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(value(field, raw, depth)?);
                }
            }
            (Some(name), Shape::Map, _) => {
                let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    let (key, value) = map_entry(field, raw.bytes()?, depth)?;
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

fn map_entry(field: &Field, bytes: &[u8], depth: usize) -> Result<(String, Value), String> {
    let mut key = String::new();
    let mut held = value(field, Raw::Bytes(&[]), depth)?;
    for entry in Wire(bytes) {
        match entry? {
            (1, raw) => key = text(raw.bytes()?)?,
            (2, raw) => held = value(field, raw, depth)?,
            _ => {}
        }
    }
    Ok((key, held))
}

fn value(field: &Field, raw: Raw<'_>, depth: usize) -> Result<Value, String> {
    Ok(match field.kind {
        Type::Int => Value::from(raw.int()),
        Type::Bool => Value::from(raw.int() != 0),
        Type::Text => text(raw.bytes()?)?.into(),
        Type::Bytes => STANDARD.encode(raw.bytes()?).into(),
        Type::Texts => {
            let texts = Wire(raw.bytes()?).map(|entry| text(entry?.1.bytes()?).map(Value::from));
            Value::Array(texts.collect::<Result<_, _>>()?)
        }
        Type::Time | Type::MicroTime => time(field.kind, raw.bytes()?)?,
        Type::Duration => match number(raw.bytes()?, 1)? {
            Some(nanos) => go_duration(i128::from(nanos)).into(),
            None => Value::Null,
        },
        Type::Quantity => {
            first(raw.bytes()?, 1)?.map_or(Ok(Value::Null), |raw| text(raw.bytes()?).map(Value::from))?
        }
        Type::IntOrString => int_or_string(raw.bytes()?)?,
        Type::Json => match first(raw.bytes()?, 1)? {
            Some(raw) => serde_json::from_slice(raw.bytes()?).map_err(|error| error.to_string())?,
            None => Value::Null,
        },
        Type::Message(name) => {
            let mut object = Map::new();
            if let Some(fields) = schema::message(name) {
                message(fields, raw.bytes()?, &mut object, depth + 1)?;
            }
            object.into()
        }
    })
}

/// Go leaves the zero time out of the message, which then is empty.
fn time(kind: Type, bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let seconds = number(bytes, 1)?.unwrap_or(0);
    let micros = number(bytes, 2)?.unwrap_or(0) / 1000;
    Ok(match kind {
        Type::MicroTime => rfc3339_micros(seconds.saturating_mul(1_000_000).saturating_add(micros)).into(),
        _ => rfc3339_seconds(seconds.saturating_mul(1000)).into(),
    })
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    if number(bytes, 1)?.unwrap_or(0) == 0 {
        return Ok(number(bytes, 2)?.unwrap_or(0).into());
    }
    first(bytes, 3)?.map_or(Ok(Value::from("")), |raw| text(raw.bytes()?).map(Value::from))
}

fn first(bytes: &[u8], wanted: u32) -> Result<Option<Raw<'_>>, String> {
    for entry in Wire(bytes) {
        let (number, raw) = entry?;
        if number == wanted {
            return Ok(Some(raw));
        }
    }
    Ok(None)
}

fn number(bytes: &[u8], wanted: u32) -> Result<Option<i64>, String> {
    first(bytes, wanted).map(|found| found.map(|raw| raw.int()))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// A field's bytes or number, before its type is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raw<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn int(self) -> i64 {
        match self {
            Self::Int(number) => number,
            Self::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Int(_) => Err("a number stands where a text or message belongs".to_owned()),
        }
    }
}

/// The fields of a message in wire order.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u32, Raw<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok()?;
        let raw = match key & 7 {
            // Negative numbers are written as their 64-bit two's complement.
            0 => Raw::Int(self.varint()?.cast_signed()),
            1 => Raw::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((number, raw))
    }
}

impl<'a> Iterator for Wire<'a> {
    type Item = Result<(u32, Raw<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| "the body is cut off or not protobuf".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        field.extend_from_slice(content);
        field
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &type_meta), bytes(2, raw)].concat()
    }

    #[test]
    fn a_config_map_comes_back() {
        let entry = [bytes(1, b"a"), bytes(2, b"1")].concat();
        let metadata = [bytes(1, b"settings"), bytes(3, b""), bytes(8, b"")].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry)].concat();
        let object = decode(&envelope("v1", "ConfigMap", &raw)).unwrap();
        assert_eq!(
            object,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}})
        );
    }

    #[test]
    fn a_zero_that_was_given_stays() {
        let spec = bytes(2, &[1 << 3, 0, 5 << 3, 0]);
        let object = decode(&envelope("apps/v1", "Deployment", &spec)).unwrap();
        assert_eq!(object["spec"], json!({"replicas": 0}));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode(&envelope("v1", "Pod", &raw));
            let _ = decode(&raw);
        }
    }
}
