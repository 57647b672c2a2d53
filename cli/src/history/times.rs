//! Moments and ranges as the flags give them. Pure.

use anyhow::bail;
use flyball_model::time::parse_rfc3339_ms;
use flyball_tsdb::promql::duration::parse_millis;

use crate::flags::QueryArgs;

/// How many points a range has unless told otherwise.
const POINTS: i64 = 100;

/// Steps that a person would choose, seconds.
const STEPS_S: [i64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400];

/// A range of time, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
}

/// The range that the flags ask for; `None` when they ask for one moment.
pub(super) fn range(args: &QueryArgs, now_ms: i64) -> anyhow::Result<Option<Range>> {
    let named = |text: &Option<String>, flag: &str| match text {
        Some(text) => moment(text, now_ms).map(Some).map_err(|error| error.context(flag.to_owned())),
        None => Ok(None),
    };
    let end_ms = named(&args.end, "--end")?;
    let start_ms = match (named(&args.start, "--start")?, args.since) {
        (Some(start_ms), _) => start_ms,
        (None, Some(since)) => {
            end_ms.unwrap_or(now_ms) - i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2)
        }
        (None, None) if end_ms.is_some() || args.step.is_some() => {
            bail!("--end and --step need --start or --since");
        }
        (None, None) => return Ok(None),
    };
    let mut range = Range { start_ms, end_ms: end_ms.unwrap_or(now_ms), step_ms: 0 };
    if range.end_ms < range.start_ms {
        bail!("--end is before --start");
    }
    match args.step {
        Some(step) => range.step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
        None => {
            range.step_ms = step_of(range.end_ms - range.start_ms);
            if end_ms.is_none() && args.start.is_none() {
                // On whole steps, so that the same points are asked for again and again.
                let ahead = (range.step_ms - range.end_ms % range.step_ms) % range.step_ms;
                range.start_ms = range.start_ms.div_euclid(range.step_ms) * range.step_ms
                    + if ahead > 0 { range.step_ms } else { 0 };
                range.end_ms += ahead;
            }
        }
    }
    Ok(Some(range))
}

fn step_of(span_ms: i64) -> i64 {
    let fits = STEPS_S.into_iter().map(|step| step * 1000).find(|step| span_ms / step <= POINTS);
    fits.unwrap_or(span_ms / POINTS)
}

/// A moment: RFC 3339, Unix seconds, `now`, or a duration ago (`-1h`).
pub(super) fn moment(text: &str, now_ms: i64) -> anyhow::Result<i64> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(ago) = text.strip_prefix('-').and_then(|ago| parse_millis(ago).ok()) {
        return Ok(now_ms - ago);
    }
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
        return Ok((seconds * 1000.0).round() as i64);
    }
    match parse_rfc3339_ms(text) {
        Some(ms) => Ok(ms),
        None => bail!("{text:?} is no time: RFC 3339, Unix seconds, now, or a duration ago such as -1h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = 1_000_000_000;
        for (text, expected) in [
            ("now", now),
            ("-1h", now - 3_600_000),
            ("-1m30s", now - 90_000),
            ("12.5", 12_500),
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T01:00:01+01:00", 1000),
        ] {
            assert_eq!(moment(text, now).unwrap(), expected, "{text}");
        }
        assert!(moment("yesterday", now).unwrap_err().to_string().contains("RFC 3339"));
    }

    #[test]
    fn steps_are_round_and_points_are_few() {
        for (span_s, step_s) in
            [(0, 1), (60, 1), (100, 1), (101, 2), (3600, 60), (86_400, 900), (604_800, 7200)]
        {
            assert_eq!(step_of(span_s * 1000), step_s * 1000, "{span_s}");
        }
        assert_eq!(step_of(1000 * 86_400_000), 864_000_000);
    }
}
