//! Queries: at one moment, over a range, and what can be said of a query without data.

use std::time::Duration;

use super::error::ApiError;
use super::params::NANOS_PER_MILLI;
use super::result::ResultText;
use super::{Api, Data, Outcome, Params, TRUNCATED, json, tree};
use crate::promql::annotations::Level;
use crate::promql::ast::Expr;
use crate::promql::engine::{self, MAX_STEPS, Options, Value};
use crate::promql::number::write_json;
use crate::promql::{parse, print};

impl Api<'_> {
    /// `/query`
    pub(super) fn query(&self, params: &Params) -> Outcome {
        let limit = params.limit()?;
        let time_ms = params.time_ms_or("time", self.now_ms)?;
        check_timeout(params)?;
        let options = self.options_of(params)?;
        let text = params.first("query");
        let began = self.clock.elapsed();
        let expr = parsed(text)?;
        let parsed_at = self.clock.elapsed();
        let outcome = engine::instant(self.source, &expr, time_ms, &options, self.watch)?;
        let stats = self.stats_of(params, &outcome, began, parsed_at);
        Ok(answered(outcome, limit, text, stats))
    }

    /// `/query_range`
    pub(super) fn query_range(&self, params: &Params) -> Outcome {
        let limit = params.limit()?;
        let start_ms = params.time_ms("start")?;
        let end_ms = params.time_ms("end")?;
        if end_ms < start_ms {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let step_ns = params.duration_ns("step")?;
        if step_ns <= 0 {
            let reason =
                "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(ApiError::parameter("step", reason));
        }
        let span_ns = i128::from(end_ms - start_ms) * i128::from(NANOS_PER_MILLI);
        if span_ns / i128::from(step_ns) > MAX_STEPS as i128 {
            return Err(ApiError::bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
            ));
        }
        check_timeout(params)?;
        let options = self.options_of(params)?;
        let text = params.first("query");
        let began = self.clock.elapsed();
        let expr = parsed(text)?;
        let parsed_at = self.clock.elapsed();
        // Nothing is finer than a millisecond.
        let times = (start_ms, end_ms, (step_ns / NANOS_PER_MILLI).max(1));
        let outcome = engine::range(self.source, &expr, times, &options, self.watch)?;
        let stats = self.stats_of(params, &outcome, began, parsed_at);
        Ok(answered(outcome, limit, text, stats))
    }

    /// Statistics, if they are asked for. Series are read while the query is evaluated and come in order, so there is no
    /// time of preparation but the parser's, and none of sorting.
    fn stats_of(
        &self,
        params: &Params,
        outcome: &engine::Outcome,
        began: Duration,
        parsed_at: Duration,
    ) -> Option<String> {
        if params.first("stats").is_empty() {
            return None;
        }
        let ended = self.clock.elapsed();
        let seconds = |duration: Duration| write_json(duration.as_secs_f64());
        let evaluated = seconds(ended.saturating_sub(parsed_at));
        Some(format!(
            r#"{{"timings":{{"evalTotalTime":{evaluated},"resultSortTime":0,"queryPreparationTime":{},"innerEvalTime":{evaluated},"execQueueTime":{},"execTotalTime":{}}},"samples":{{"totalQueryableSamples":{},"peakSamples":{}}}}}"#,
            seconds(parsed_at.saturating_sub(began)),
            seconds(self.clock.queued()),
            seconds(ended.saturating_sub(began)),
            outcome.read_samples,
            outcome.peak_samples
        ))
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

fn answered(mut outcome: engine::Outcome, limit: Option<usize>, query: &str, stats: Option<String>) -> Data {
    let mut warnings = outcome.annotations.shown(Level::Warning, query);
    let infos = outcome.annotations.shown(Level::Info, query);
    if let (Some(limit), Value::Vector(series) | Value::Matrix(series)) = (limit, &mut outcome.value) {
        if series.len() > limit {
            warnings.push(TRUNCATED.into());
        }
        series.truncate(limit);
    }
    let mut tail = stats.map_or_else(String::new, |stats| format!(r#","stats":{stats}"#));
    tail.push('}');
    json::remarks(&mut tail, &warnings, &infos);
    tail.push('}');
    Data { result: Some(ResultText::new(outcome.value, tail)), ..Data::default() }
}

/// `/format_query`
pub(super) fn format(params: &Params) -> Outcome {
    let expr = parsed(params.first("query"))?;
    let mut json = String::new();
    json::escaped_for_html(&mut json, &print::pretty(&expr));
    Ok(Data::of(json))
}

/// `/parse_query`
pub(super) fn tree(params: &Params) -> Outcome {
    let text = params.first("query");
    Ok(Data::of(tree::of(&parsed(text)?).to_string()))
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
