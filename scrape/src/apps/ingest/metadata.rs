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
    let lines = body.split_inclusive('\n').filter(|line| line.starts_with('#'));
    for line in lines {
        let (name, change): (&str, Box<dyn FnOnce(&mut Described<String>)>) = match Reader::new(line, format)
            .next()
        {
            Some(Ok(Event::Help { name, help })) => {
                bytes += help.len();
                (name, Box::new(move |described| described.help = help.into_owned()))
            }
            Some(Ok(Event::Type { name, kind })) => (name, Box::new(move |described| described.kind = kind)),
            Some(Ok(Event::Unit { name, unit })) => {
                bytes += unit.len();
                (name, Box::new(move |described| described.unit = unit.to_owned()))
            }
            _ => continue,
        };
        bytes += name.len();
        if bytes > BOOK_BYTES_MAX {
            break;
        }
        change(book.entry(name.to_owned()).or_insert_with(|| Described {
            kind: MetricType::Untyped,
            help: String::new(),
            unit: String::new(),
        }));
    }
    book
}
