//! What comes with a request: query parameters, headers; and the values of flags.

#![no_main]

use flyball_apiserver::Query;
use flyball_collector::explain::Question;
use flyball_collector::history::answer::{EventsQuery, HistoryQuery};
use flyball_collector::name_source::NameSource;
use flyball_collector::selection::{Families, Selection};
use flyball_collector::{cadvisor, serve};
use flyball_model::exposition::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let query = Query::parse(text);
    for refusal in
        [HistoryQuery::parse(&query).err(), EventsQuery::parse(&query).err(), Question::parse(&query).err()]
            .into_iter()
            .flatten()
    {
        assert!(!refusal.message.is_empty() && refusal.status.is_client_error());
    }
    let _ = (Format::from_accept(text), Format::from_content_type(text), serve::accepts_gzip(text));
    let _ = text.parse::<NameSource>();
    if let Ok(families) = text.parse::<Families>() {
        let _ = Selection::new(families, [text.to_owned()], &cadvisor::metrics());
    }
});
