//! `pods/NAME/log`: the query of `kubectl logs`, and where the lines come from.

use std::io;

use bytes::Bytes;
use flyball_apiserver::body::{BoxError, stream};
use flyball_apiserver::query::Query;
use flyball_apiserver::request::Response;
use flyball_apiserver::status::Status;
use flyball_model::time::parse_rfc3339_ms;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderValue, header};
use serde_json::Value;

use super::call::Call;
use crate::registry::{Registry, clock, errors, json, kinds};

/// Which part of a container's output is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// The output of the run before the current one.
    pub previous: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only so many lines from the end; `None` is all.
    pub tail_lines: Option<u64>,
    /// Only lines from this moment on, unix milliseconds.
    pub since_ms: Option<i64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Whoever keeps the output of containers; the runtime implements it.
pub trait LogSource: Send + Sync + 'static {
    /// Opens the output of one container of a pod. Errors are the API's answer, for example 400 while the container is
    /// waiting to start.
    fn open(
        &self,
        namespace: &str,
        pod: &Value,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Status>;
}

/// A source that has no output, for servers without a runtime.
pub struct NoLogs;

impl LogSource for NoLogs {
    fn open(
        &self,
        _namespace: &str,
        pod: &Value,
        _container: &str,
        _options: LogOptions,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Status> {
        Err(errors::bad_request(format!("pod {} has no output: this server runs no pods", json::name(pod))))
    }
}

pub(super) fn get(registry: &Registry, source: &dyn LogSource, call: &Call) -> Result<Response, Status> {
    let pod = registry.get(&kinds::PODS, call.namespace(), call.name());
    let pod = pod.ok_or_else(|| errors::not_found(&kinds::PODS, call.name()))?;
    let container = container(&pod, call.query.first("container").unwrap_or(""))?;
    let lines = source.open(call.namespace(), &pod, &container, options(&call.query)?)?;
    let mut response = http::Response::new(stream(lines.map(|chunk| chunk.map_err(BoxError::from))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The container asked for, or the only one.
fn container(pod: &Value, wanted: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        json::items(pod, list).iter().map(|container| json::text(container, "/name").to_owned()).collect()
    };
    let (containers, all) =
        (names("/spec/containers"), [names("/spec/initContainers"), names("/spec/containers")].concat());
    let name = json::name(pod);
    if !wanted.is_empty() {
        if all.iter().any(|name| name == wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(errors::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    match containers.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(errors::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

fn options(query: &Query) -> Result<LogOptions, Status> {
    let since_seconds = number(query, "sinceSeconds")?;
    let since_time = query.first("sinceTime").filter(|text| !text.is_empty());
    let since_time = since_time
        .map(|text| {
            parse_rfc3339_ms(text)
                .ok_or_else(|| errors::bad_request(format!("sinceTime: {text:?} is not a time")))
        })
        .transpose()?;
    if since_seconds.is_some() && since_time.is_some() {
        return Err(errors::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    let seconds_ago =
        |seconds: u64| clock::now_ms() - i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000;
    Ok(LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: number(query, "tailLines")?,
        since_ms: since_time.or(since_seconds.map(seconds_ago)),
        limit_bytes: number(query, "limitBytes")?,
    })
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, Status> {
    let text = query.first(name).filter(|text| !text.is_empty());
    let refuse = |text: &str| errors::bad_request(format!("{name}: {text:?} is not a positive number"));
    text.map(|text| text.parse().map_err(|_| refuse(text))).transpose()
}
