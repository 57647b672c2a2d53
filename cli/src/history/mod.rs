//! `flyball query` and `flyball tsdb`: asks the history and looks after the store.

#![allow(clippy::disallowed_methods, reason = "commands: they know the time and look at the terminal")]

mod ask;
mod chart;
mod completion;
mod csv;
mod series;
mod store;
mod table;
mod times;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

pub use completion::script as completion;
pub use store::tsdb;

use crate::flags::{Output, QueryArgs, QueryOutput};
use crate::{output, query as cluster};
use ask::{Asked, History};
use series::Answer;

/// Names of metrics are completed from what was there in this time.
const COMPLETED_MS: i64 = 3_600_000;

/// Evaluates the query and prints the result.
pub async fn query(args: QueryArgs) -> anyhow::Result<()> {
    let history = History::of(&args.cluster).await?;
    if let Some(prefix) = &args.complete {
        return complete(&history, prefix).await;
    }
    let now_ms = now_ms();
    let asked = Asked::of(&args, now_ms)?;
    let answer = history.ask(&asked).await?;
    for list in ["warnings", "infos"] {
        for text in answer[list].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("{text}");
        }
    }
    match args.output {
        QueryOutput::Json => output::print(&answer, Output::Json),
        QueryOutput::Yaml => output::print(&answer, Output::Yaml),
        QueryOutput::Table => {
            let (header, rows) = table::of(&Answer::read(&answer)?);
            if rows.is_empty() {
                eprintln!("No data found");
                return Ok(());
            }
            output::table(&header, rows, args.no_headers)
        }
        QueryOutput::Csv => output::text(&csv::of(&Answer::read(&answer)?, args.no_headers)),
        QueryOutput::Chart => output::text(&chart::of(&Answer::read(&answer)?, chart::Size::of_terminal())),
    }
}

/// Prints what the text may be continued to: names of metrics behind what stands before the last of its words.
async fn complete(history: &History, text: &str) -> anyhow::Result<()> {
    let (before, word) = completion::last_word(text);
    let from = (now_ms() - COMPLETED_MS) as f64 / 1e3;
    let names = history.get(&format!("label/__name__/values?start={from}")).await?;
    let names = names["data"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines = names.filter(|name| name.starts_with(word)).map(|name| format!("{before}{name}\n"));
    output::text(&lines.collect::<String>())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A parameter of a URL.
fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", cluster::encode(value))
}
