//! Queries: at one moment, over a range, and what can be said of a query without data.

use super::error::ApiError;
use super::{Api, Data, Outcome, Params, TRUNCATED, json};
use crate::promql::annotations::{Annotations, Level};
use crate::promql::ast::Expr;
use crate::promql::engine::{self, MAX_STEPS, Options, Value};
use crate::promql::{parse, print};

impl Api<'_> {
    /// `/query`
    pub(super) fn query(&self, params: &Params) -> Outcome {
        let limit = params.limit()?;
        let time_ms = params.time_ms_or("time", self.now_ms)?;
        check_timeout(params)?;
        let options = self.options_of(params)?;
        let text = params.first("query");
        let expr = parsed(text)?;
        let outcome = engine::instant(self.source, &expr, time_ms, &options, self.watch)?;
        Ok(answered(outcome, limit, text, params))
    }

    /// `/query_range`
    pub(super) fn query_range(&self, params: &Params) -> Outcome {
        let limit = params.limit()?;
        let start_ms = params.time_ms("start")?;
        let end_ms = params.time_ms("end")?;
        if end_ms < start_ms {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let step_ms = params.duration_ms("step")?;
        if step_ms <= 0 {
            let reason =
                "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(ApiError::parameter("step", reason));
        }
        if (end_ms - start_ms) / step_ms > MAX_STEPS as i64 {
            return Err(ApiError::bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
            ));
        }
        check_timeout(params)?;
        let options = self.options_of(params)?;
        let text = params.first("query");
        let expr = parsed(text)?;
        let times = (start_ms, end_ms, step_ms);
        let outcome = engine::range(self.source, &expr, times, &options, self.watch)?;
        Ok(answered(outcome, limit, text, params))
    }

    fn options_of(&self, params: &Params) -> Result<Options, ApiError> {
        let mut options = self.options;
        if !params.first("lookback_delta").is_empty() {
            let lookback_ms = params.duration_ms("lookback_delta").map_err(|error| {
                let reason =
                    error.message.split_once(": ").map_or(error.message.as_str(), |(_, reason)| reason);
                ApiError::bad_data(format!("error parsing lookback delta duration: {reason}"))
            })?;
            if lookback_ms > 0 {
                options.lookback_ms = lookback_ms;
            }
        }
        Ok(options)
    }
}

/// The time-out is kept by who serves; here it only has to be one.
fn check_timeout(params: &Params) -> Result<(), ApiError> {
    if !params.first("timeout").is_empty() {
        params.duration_ms("timeout")?;
    }
    Ok(())
}

fn parsed(text: &str) -> Result<Expr, ApiError> {
    parse(text).map_err(|error| ApiError::parameter("query", error))
}

fn answered(mut outcome: engine::Outcome, limit: Option<usize>, query: &str, params: &Params) -> Data {
    let mut cut = false;
    if let (Some(limit), Value::Vector(series) | Value::Matrix(series)) = (limit, &mut outcome.value) {
        cut = series.len() > limit;
        series.truncate(limit);
    }
    let mut json = String::from("{");
    json::value(&mut json, &outcome.value);
    if !params.first("stats").is_empty() {
        json.push_str(&format!(
            r#","stats":{{"samples":{{"totalQueryableSamples":{},"peakSamples":{}}}}}"#,
            outcome.read_samples, outcome.peak_samples
        ));
    }
    json.push('}');
    let mut data = with_annotations(json, &outcome.annotations, query);
    if cut {
        data.warnings.push(TRUNCATED.into());
    }
    data
}

fn with_annotations(json: String, annotations: &Annotations, query: &str) -> Data {
    Data {
        json,
        warnings: annotations.shown(Level::Warning, query),
        infos: annotations.shown(Level::Info, query),
    }
}

/// `/format_query`
pub(super) fn format(params: &Params) -> Outcome {
    let expr = parsed(params.first("query"))?;
    let mut json = String::new();
    json::escaped_for_html(&mut json, &print::pretty(&expr));
    Ok(Data::of(json))
}

/// `/query_exemplars`: none are kept, but the request has to be one.
pub(super) fn exemplars(params: &Params) -> Outcome {
    let start_ms = params.time_ms_or("start", super::params::MIN_TIME_MS)?;
    let end_ms = params.time_ms_or("end", super::params::MAX_TIME_MS)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    parse(params.first("query")).map_err(|error| ApiError::bad_data(error.to_string()))?;
    Ok(Data::of("[]"))
}
