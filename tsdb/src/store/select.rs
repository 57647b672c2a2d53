//! Samples are asked for: head and blocks together.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flyball_model::labels::Labels;

use super::{Store, place_of};
use crate::block::reader::{Block, BlockError};
use crate::disk::DiskError;
use crate::head::series::put_in_order;
use crate::matchers::{Compiled, compile, select};
use crate::series::{By, GroupVisitor, Matcher, ReadError, ReadLimits, Series, SeriesSource, group_scanned};
use crate::threads::share_out;

/// How often a reading begins anew because a block went away under it.
const TRIES: usize = 5;

/// Series for which a thread of their own is worth it.
const SHARE_SERIES_MIN: usize = 4096;

/// Is shown the labels of one series after the other.
type LabelsVisitor<'a> = dyn FnMut(&[(&str, &str)]) + 'a;

/// What is asked for.
struct Query<'a> {
    matchers: &'a [Compiled],
    start_ms: i64,
    end_ms: i64,
}

/// Series found so far.
struct Found {
    limits: ReadLimits,
    samples: usize,
    series: Vec<Series>,
    /// Where they are in `series`; kept only when several parts of the store are read, for each part has each series once.
    by_labels: HashMap<Arc<Labels>, usize>,
}

impl Found {
    fn new(limits: ReadLimits) -> Found {
        Found { limits, samples: 0, series: Vec::new(), by_labels: HashMap::new() }
    }

    /// A series that is not there yet.
    fn add(&mut self, series: Series) -> Result<(), ReadError> {
        self.samples += series.points.len();
        if self.samples > self.limits.samples {
            return Err(ReadError::TooMuch { what: "samples", limit: self.limits.samples });
        }
        if self.series.len() >= self.limits.series {
            return Err(ReadError::TooMuch { what: "series", limit: self.limits.series });
        }
        self.series.push(series);
        Ok(())
    }

    /// A series that may be there already, with samples that came earlier.
    fn merge(&mut self, mut series: Series) -> Result<(), ReadError> {
        let Some(&position) = self.by_labels.get(&series.labels) else {
            self.by_labels.insert(series.labels.clone(), self.series.len());
            return self.add(series);
        };
        self.samples += series.points.len();
        if self.samples > self.limits.samples {
            return Err(ReadError::TooMuch { what: "samples", limit: self.limits.samples });
        }
        let have = &mut self.series[position].points;
        have.append(&mut series.points);
        put_in_order(have);
        Ok(())
    }
}

/// Why one attempt failed.
enum Failed {
    /// A block went away (merged or removed) while it was read.
    Moved,
    Read(ReadError),
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Failed {
        Failed::Read(error)
    }
}

impl Store {
    /// Runs a reading until no block goes away under it.
    fn reading<T>(&self, mut attempt: impl FnMut() -> Result<T, Failed>) -> Result<T, ReadError> {
        for _ in 0..TRIES {
            match attempt() {
                Ok(result) => return Ok(result),
                Err(Failed::Read(error)) => return Err(error),
                Err(Failed::Moved) => {}
            }
        }
        Err(ReadError::Store("blocks were merged or removed faster than they could be read".to_owned()))
    }

    /// Names of the blocks that touch a range, in the order in which their samples came.
    fn blocks_in(&self, start_ms: i64, end_ms: i64) -> Vec<u64> {
        let mut blocks = self.block_metas();
        blocks.retain(|(_, meta)| meta.first_ms <= end_ms && meta.last_ms >= start_ms);
        blocks.sort_unstable_by_key(|(name, meta)| (meta.origin, *name));
        blocks.into_iter().map(|(name, _)| name).collect()
    }

    /// Reads from a block. One that cannot be read is noted, and the rest is answered.
    fn read_block(
        &self,
        name: u64,
        read: impl FnOnce(&Block) -> Result<Result<(), ReadError>, DiskError>,
    ) -> Result<(), Failed> {
        let outcome = self.open_block(name).and_then(|block| Ok((read(&block)?, block)));
        match outcome {
            Ok((result, block)) => {
                self.note_block_damage(name, &block);
                Ok(result?)
            }
            Err(error) => {
                self.close_block(name);
                if self.block_metas().iter().all(|(have, _)| *have != name) {
                    return Err(Failed::Moved);
                }
                if let BlockError::Disk(DiskError::Io(reason)) = error {
                    return Err(Failed::Read(ReadError::Store(reason)));
                }
                self.note_damage(place_of(name), error.to_string());
                Ok(())
            }
        }
    }

    fn select_once(&self, query: &Query<'_>, limits: ReadLimits) -> Result<Vec<Series>, Failed> {
        // The head before the list of blocks: what is sealed meanwhile is then found twice, not never.
        let mut head = Found::new(limits);
        self.select_head(query, &mut head)?;
        let blocks = self.blocks_in(query.start_ms, query.end_ms);
        let mut found = head;
        if !blocks.is_empty() {
            // What is in blocks came first, and of two samples of one time the first counts.
            let head = std::mem::replace(&mut found, Found::new(limits));
            for name in blocks {
                self.read_block(name, |block| self.select_block(query, block, &mut found))?;
            }
            head.series.into_iter().try_for_each(|series| found.merge(series))?;
        }
        found.series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found.series)
    }

    fn select_head(&self, query: &Query<'_>, found: &mut Found) -> Result<(), ReadError> {
        let index = self.head.index();
        let Ok(slots) = select(&*index, query.matchers);
        for slot in slots {
            let mut points = Vec::new();
            self.head.read_into(slot, query.start_ms, query.end_ms, &mut points);
            if !points.is_empty() {
                found.add(Series { labels: index.labels(slot), points })?;
            }
        }
        Ok(())
    }

    fn select_block(
        &self,
        query: &Query<'_>,
        block: &Block,
        found: &mut Found,
    ) -> Result<Result<(), ReadError>, DiskError> {
        let numbers = select(block, query.matchers)?;
        let mut labels: HashMap<u32, Arc<Labels>> = HashMap::new();
        block.labels(&numbers, |number, pairs| {
            let set = Labels::from_pairs(pairs.iter().copied()).unwrap_or_default();
            labels.insert(number, Arc::new(set));
        })?;
        let mut result = Ok(());
        block.samples(&numbers, query.start_ms, query.end_ms, |number, points| {
            if let Some(labels) = labels.remove(&number) {
                result = found.merge(Series { labels, points });
            }
            result.is_ok()
        })?;
        Ok(result)
    }

    /// Reads some series of the head, each with its group.
    fn read_share(
        &self,
        slots: &[u32],
        groups: &[u32],
        (start_ms, end_ms): (i64, i64),
        samples_max: usize,
        visit: &mut GroupVisitor<'_>,
    ) -> Result<(), ReadError> {
        let mut points = Vec::new();
        for (&slot, &group) in slots.iter().zip(groups) {
            points.clear();
            self.head.read_into(slot, start_ms, end_ms, &mut points);
            if points.len() > samples_max {
                return Err(ReadError::TooMuch { what: "samples", limit: samples_max });
            }
            if !points.is_empty() && visit(group as usize, &points).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the labels of every series that matches and has a sample in the range; some come more than once.
    fn each_series(&self, query: &Query<'_>, visit: &mut LabelsVisitor<'_>) -> Result<(), Failed> {
        {
            let index = self.head.index();
            let Ok(slots) = select(&*index, query.matchers);
            let mut labels = Vec::new();
            for slot in slots {
                if self.head.has_samples(slot, query.start_ms, query.end_ms) {
                    labels.clear();
                    labels.extend(index.texts(slot));
                    visit(&labels);
                }
            }
        }
        for name in self.blocks_in(query.start_ms, query.end_ms) {
            self.read_block(name, |block| {
                let mut numbers = select(block, query.matchers)?;
                let meta = block.meta();
                if meta.first_ms < query.start_ms || meta.last_ms > query.end_ms {
                    let mut inside = Vec::new();
                    block.samples(&numbers, query.start_ms, query.end_ms, |number, _| {
                        inside.push(number);
                        true
                    })?;
                    numbers = inside;
                }
                block.labels(&numbers, |_, labels| visit(labels))?;
                Ok(Ok(()))
            })?;
        }
        Ok(())
    }

    fn gather<T: Ord>(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        take: impl Fn(&[(&str, &str)], &mut BTreeSet<T>),
    ) -> Result<Vec<T>, ReadError> {
        let matchers = compile(matchers)?;
        let query = Query { matchers: &matchers, start_ms, end_ms };
        self.reading(|| {
            let mut all = BTreeSet::new();
            self.each_series(&query, &mut |labels| take(labels, &mut all))?;
            Ok(all.into_iter().collect())
        })
    }
}

impl SeriesSource for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
    ) -> Result<Vec<Series>, ReadError> {
        let matchers = compile(matchers)?;
        let query = Query { matchers: &matchers, start_ms, end_ms };
        self.reading(|| self.select_once(&query, limits))
    }

    /// What is in memory is answered from there without looking at labels that nobody asked for; where blocks have a part in
    /// it, series are put together first.
    fn scan_groups(
        &self,
        matchers: &[Matcher],
        by: &By<'_>,
        start_ms: i64,
        end_ms: i64,
        limits: ReadLimits,
        visitors: &mut [Box<GroupVisitor<'_>>],
    ) -> Result<Option<Vec<Labels>>, ReadError> {
        let sealings = self.sealings.load(Ordering::Acquire);
        if !self.blocks_in(start_ms, end_ms).is_empty() {
            return group_scanned(self, matchers, by, start_ms, end_ms, limits, visitors).map(Some);
        }
        let matchers = compile(matchers)?;
        let (slots, groups, labels) = {
            let index = self.head.index();
            let Ok(slots) = select(&*index, &matchers);
            let (groups, labels) = index.groups(&slots, by);
            (slots, groups, labels)
        };
        if slots.len() > limits.series {
            return Err(ReadError::TooMuch { what: "series", limit: limits.series });
        }
        // The index is free again: a query that takes its time keeps no new series waiting.
        let range = (start_ms, end_ms);
        let shares = visitors.len().min(slots.len() / SHARE_SERIES_MIN).max(1);
        let size = slots.len().div_ceil(shares).max(1);
        let read = |(slots, groups), visit: &mut Box<GroupVisitor<'_>>| {
            self.read_share(slots, groups, range, limits.samples, &mut **visit)
        };
        share_out(slots.chunks(size).zip(groups.chunks(size)).zip(visitors), read)?;
        let unchanged = self.sealings.load(Ordering::Acquire) == sealings;
        Ok(unchanged.then_some(labels))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.gather(matchers, start_ms, end_ms, |labels, names: &mut BTreeSet<String>| {
            for (name, _) in labels {
                if !names.contains(*name) {
                    names.insert((*name).to_owned());
                }
            }
        })
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.gather(matchers, start_ms, end_ms, |labels, values: &mut BTreeSet<String>| {
            if let Some((_, value)) = labels.iter().find(|(have, _)| *have == name)
                && !values.contains(*value)
            {
                values.insert((*value).to_owned());
            }
        })
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Arc<Labels>>, ReadError> {
        self.gather(matchers, start_ms, end_ms, |labels, all: &mut BTreeSet<Arc<Labels>>| {
            all.insert(Arc::new(Labels::from_pairs(labels.iter().copied()).unwrap_or_default()));
        })
    }
}
