//! What targets say about their metrics. Pure.
//!
//! An answer says the same at nearly every scrape, and the pods of one workload all say the same; so a hash tells whether
//! there is anything new, and equal books are shared. Limit: [`BOOK_BYTES_MAX`] of one target; what is beyond is left out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use flyball_model::exposition::{Event, Format, MetricType, Reader};

use super::super::view::{Described, Metadata};

/// Most bytes of names, helps and units of one target.
const BOOK_BYTES_MAX: usize = 1 << 20;

/// The books of all targets of a job, each once.
#[derive(Debug, Default)]
pub(in super::super) struct Books(Mutex<HashMap<u64, Weak<Metadata>>>);

impl Books {
    /// The book of an answer, unless it is the one that the target has, whose `hash` it is.
    pub(in super::super) fn read(
        &self,
        body: &str,
        format: Format,
        hash: &mut Option<u64>,
    ) -> Option<Arc<Metadata>> {
        let now = hash_of(body);
        if *hash == Some(now) {
            return None;
        }
        *hash = Some(now);
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        books.retain(|_, book| book.strong_count() > 0);
        let book = book(body, format);
        let shared = books.get(&now).and_then(Weak::upgrade).filter(|shared| **shared == book);
        Some(shared.unwrap_or_else(|| {
            let book = Arc::new(book);
            books.insert(now, Arc::downgrade(&book));
            book
        }))
    }
}

/// Of all lines that begin with `#`.
fn hash_of(body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let bytes = body.as_bytes();
    let mut from = 0;
    while from < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |length| from + length);
        if bytes[from] == b'#' {
            hasher.write(&bytes[from..end]);
            hasher.write_u8(b'\n');
        }
        from = end + 1;
    }
    hasher.finish()
}

fn book(body: &str, format: Format) -> Metadata {
    let mut book = Metadata::new();
    let mut bytes = 0;
    for line in body.split_inclusive('\n').filter(|line| line.starts_with('#')) {
        let Some(Ok(event)) = Reader::new(line, format).next() else { continue };
        let (name, more) = match &event {
            Event::Help { name, help } => (*name, help.len()),
            Event::Type { name, .. } => (*name, 0),
            Event::Unit { name, unit } => (*name, unit.len()),
            Event::Sample(_) | Event::Eof => continue,
        };
        bytes += name.len() + more;
        if bytes > BOOK_BYTES_MAX {
            break;
        }
        let described = book.entry(name.to_owned()).or_insert_with(|| Described {
            kind: MetricType::Untyped,
            help: String::new(),
            unit: String::new(),
        });
        match event {
            Event::Help { help, .. } => described.help = help.into_owned(),
            Event::Type { kind, .. } => described.kind = kind,
            Event::Unit { unit, .. } => unit.clone_into(&mut described.unit),
            Event::Sample(_) | Event::Eof => {}
        }
    }
    book
}
