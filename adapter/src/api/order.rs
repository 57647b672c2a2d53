//! In which order sources are asked for a metric: the first that knows it answers.
//!
//! What is known is asked first, so that a source that has not got the metric costs those behind it nothing. Only when nobody
//! knows it, all sources look again at once. A source that fails stands in nobody's way: another one may still answer, unless
//! the failing one lists the metric as its own.

use flyball_apiserver::{Response, Status};
use futures_util::future::join_all;

use super::{Form, errors};
use crate::sources::{Group, Queried, Source};
use crate::state::State;

/// What is asked for.
pub(super) struct Order<'a> {
    pub(super) state: &'a State,
    pub(super) form: &'a Form,
    pub(super) group: Group,
    pub(super) metric: &'a str,
    /// Its name in discovery.
    pub(super) listed_as: &'a str,
    /// Where another server has it.
    pub(super) path: &'a str,
    /// Whether our own sources can have it, now or after another look.
    pub(super) is_possible: bool,
}

impl<'a> Order<'a> {
    /// The first answer. `ask` is `None` for a source that does not know the metric.
    pub(super) async fn first<F>(&self, ask: impl Fn(&'a Queried) -> F) -> Result<Option<Response>, Status>
    where
        F: Future<Output = Result<Option<Response>, Status>>,
    {
        let mut failed = None;
        for source in &self.state.sources {
            match source {
                Source::Queried(source) if self.is_possible && source.may_have(self.metric) => {
                    if let Some(response) = ask(source).await? {
                        return Ok(Some(response));
                    }
                }
                Source::Proxied(source) if source.may_have(self.group, self.metric) => {
                    match source.answer(self.path, &self.form.sender).await {
                        Ok(Some(response)) => return Ok(Some(response)),
                        Ok(None) => {}
                        Err(error) if source.lists(self.group, self.listed_as) => {
                            return Err(errors::unable_to_fetch(&error));
                        }
                        Err(error) => failed = failed.or(Some(errors::unable_to_fetch(&error))),
                    }
                }
                _ => {}
            }
        }
        if join_all(self.queried().map(Queried::look_again)).await.contains(&true) {
            for source in self.queried() {
                if let Some(response) = ask(source).await? {
                    return Ok(Some(response));
                }
            }
        }
        match failed.or_else(|| self.unknowable()) {
            Some(status) => Err(status),
            None => Ok(None),
        }
    }

    fn queried(&self) -> impl Iterator<Item = &'a Queried> {
        self.state.sources.iter().filter_map(|source| match source {
            Source::Queried(source) if self.is_possible && source.may_have(self.metric) => Some(&**source),
            _ => None,
        })
    }

    /// Why nobody can say that there is no such metric.
    fn unknowable(&self) -> Option<Status> {
        let unlooked = self.queried().find(|source| !source.has_looked()).map(|source| {
            let name = source.name();
            Status::service_unavailable(format!("source {name} has not been looked at yet"))
        });
        unlooked.or_else(|| self.queried().find_map(Queried::blind).map(|why| errors::unable_to_fetch(&why)))
    }
}
