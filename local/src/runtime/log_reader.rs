//! Reading containers' logs for `kubectl logs`.
#![allow(clippy::disallowed_methods, reason = "edge: reads log files")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flyball_model::time::parse_rfc3339_ms;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::Value;

use super::lines;
use super::logs::LogFolder;
use crate::controllers::object;
use crate::registry::kinds::PODS;
use crate::registry::{Registry, Status};
use crate::rest::logs::{LogOptions, LogSource};

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// The logs of this node's containers.
pub struct Logs {
    pub(super) folder: LogFolder,
    pub(super) registry: Registry,
}

impl LogSource for Logs {
    fn open(
        &self,
        namespace: &str,
        pod: &Value,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Status> {
        let run = wanted_run(pod, container, options.previous).map_err(Status::bad_request)?;
        let path = self.folder.file(object::uid(pod), container, run);
        let follow = options.follow;
        let reader = Reader::open(path, options).map_err(|error| {
            let name = object::name(pod);
            Status::internal(format!(
                "the log of container {container} in pod {name} cannot be read: {error}"
            ))
        })?;
        let watched = Watched {
            registry: self.registry.clone(),
            namespace: namespace.to_owned(),
            pod: object::name(pod).to_owned(),
            uid: object::uid(pod).to_owned(),
            container: container.to_owned(),
            run,
        };
        let over = !follow;
        let state = (reader, watched, over);
        Ok(stream::unfold(state, |(mut reader, watched, mut over)| async move {
            loop {
                let (back, chunk) = match tokio::task::spawn_blocking(move || reader.step_back()).await {
                    Ok(stepped) => stepped,
                    Err(_panicked) => return None,
                };
                reader = back;
                match chunk {
                    Ok(chunk) if chunk.is_empty() && (over || reader.is_full()) => return None,
                    Ok(chunk) if chunk.is_empty() => {
                        // One more look after the end of the run: its last words may have come meanwhile.
                        over = watched.is_over();
                        if !over {
                            tokio::time::sleep(POLL).await;
                        }
                    }
                    chunk => return Some((chunk.map(Bytes::from), (reader, watched, over))),
                }
            }
        })
        .boxed())
    }
}

fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    statuses.into_iter().find(|status| status["name"] == container)
}

/// Which run's log is wanted, or upstream's sentence about why there is none.
fn wanted_run(pod: &Value, container: &str, previous: bool) -> Result<u32, String> {
    let name = object::name(pod);
    let status = status_of(pod, container);
    let run = status.and_then(|status| u32::try_from(status["restartCount"].as_u64()?).ok()).unwrap_or(0);
    let started = status.is_some_and(|status| status["containerID"].is_string());
    if previous {
        let missing = || format!("previous terminated container {container:?} in pod {name:?} not found");
        return run.checked_sub(1).ok_or_else(missing);
    }
    if started {
        return Ok(run);
    }
    let reason = status.and_then(|status| status["state"]["waiting"]["reason"].as_str());
    let reason = reason.unwrap_or("ContainerCreating");
    Err(format!("container {container:?} in pod {name:?} is waiting to start: {reason}"))
}

/// The run whose log is followed.
struct Watched {
    registry: Registry,
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    run: u32,
}

impl Watched {
    fn is_over(&self) -> bool {
        let pod = self.registry.get(&PODS, &self.namespace, &self.pod);
        let Some(pod) = pod.filter(|pod| object::uid(pod) == self.uid) else { return true };
        let running = status_of(&pod, &self.container).is_some_and(|status| {
            status["restartCount"].as_u64() == Some(u64::from(self.run))
                && status["state"].get("running").is_some()
        });
        !running
    }
}

/// Reads one run's log from its oldest file on.
struct Reader {
    options: LogOptions,
    path: PathBuf,
    /// Files not opened yet.
    ahead: VecDeque<PathBuf>,
    file: Option<File>,
    partial: Vec<u8>,
    skip_lines: u64,
    left_bytes: Option<u64>,
    at_line_start: bool,
}

impl Reader {
    fn open(path: PathBuf, options: LogOptions) -> io::Result<Self> {
        let ahead: VecDeque<PathBuf> =
            [LogFolder::rotated(&path), path.clone()].into_iter().filter(|path| path.exists()).collect();
        let mut skip_lines = 0;
        if let Some(tail) = options.tail_lines {
            let total = ahead.iter().map(|path| count_lines(path)).sum::<io::Result<u64>>()?;
            skip_lines = total.saturating_sub(tail);
        }
        let left_bytes = options.limit_bytes;
        let (file, partial, at_line_start) = (None, Vec::new(), true);
        Ok(Self { options, path, ahead, file, partial, skip_lines, left_bytes, at_line_start })
    }

    /// True once as many bytes as asked for were given.
    fn is_full(&self) -> bool {
        self.left_bytes == Some(0)
    }

    fn step_back(mut self) -> (Self, io::Result<Vec<u8>>) {
        let chunk = self.step();
        (self, chunk)
    }

    /// The next output; empty at the present end.
    fn step(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::new();
        while chunk.is_empty() && !self.is_full() {
            let mut buffer = vec![0; READ_BYTES];
            let length = match &mut self.file {
                Some(file) => file.read(&mut buffer)?,
                None => 0,
            };
            if length == 0 && !self.open_next()? {
                break;
            }
            self.partial.extend_from_slice(&buffer[..length]);
            self.take_records(&mut chunk);
        }
        if let Some(left) = &mut self.left_bytes {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        Ok(chunk)
    }

    /// Goes on with the next file, or with a fresh one that replaced the one just read to its end.
    fn open_next(&mut self) -> io::Result<bool> {
        if let Some(path) = self.ahead.pop_front() {
            self.file = Some(File::open(path)?);
            return Ok(true);
        }
        let Some(file) = &self.file else { return Ok(false) };
        let replaced = std::fs::metadata(&self.path)
            .is_ok_and(|now| file.metadata().is_ok_and(|old| old.ino() != now.ino()));
        if replaced {
            self.file = Some(File::open(&self.path)?);
        }
        Ok(replaced)
    }

    fn take_records(&mut self, chunk: &mut Vec<u8>) {
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        for record in whole.split(|byte| *byte == b'\n').filter_map(lines::parse) {
            if self.skip_lines > 0 {
                self.skip_lines -= u64::from(record.ends_line);
                continue;
            }
            let too_old = |since_ms| parse_rfc3339_ms(record.stamp).is_some_and(|at_ms| at_ms < since_ms);
            if self.options.since_ms.is_some_and(too_old) {
                continue;
            }
            if self.options.timestamps && self.at_line_start {
                chunk.extend_from_slice(record.stamp.as_bytes());
                chunk.push(b' ');
            }
            chunk.extend_from_slice(record.text);
            if record.ends_line {
                chunk.push(b'\n');
            }
            self.at_line_start = record.ends_line;
        }
    }
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut reader = Reader {
        options: LogOptions::default(),
        path: path.to_owned(),
        ahead: VecDeque::new(),
        file: Some(File::open(path)?),
        partial: Vec::new(),
        skip_lines: u64::MAX,
        left_bytes: None,
        at_line_start: true,
    };
    reader.step()?;
    Ok(u64::MAX - reader.skip_lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(path: &Path, options: LogOptions) -> String {
        let mut reader = Reader::open(path.to_owned(), options).unwrap();
        let mut all = Vec::new();
        loop {
            let chunk = reader.step().unwrap();
            if chunk.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend(chunk);
        }
    }

    #[test]
    fn options_choose_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let at = |second: u32, text: &str| format!("2026-01-01T00:00:0{second}.000000000Z stdout F {text}\n");
        std::fs::write(LogFolder::rotated(&path), at(1, "one")).unwrap();
        std::fs::write(&path, at(2, "two") + &at(3, "three")).unwrap();
        let all = LogOptions::default;
        for (id, options, expected) in [
            ("all", all(), "one\ntwo\nthree\n"),
            ("tail", LogOptions { tail_lines: Some(2), ..all() }, "two\nthree\n"),
            ("tail of nothing", LogOptions { tail_lines: Some(0), ..all() }, ""),
            ("more than there is", LogOptions { tail_lines: Some(9), ..all() }, "one\ntwo\nthree\n"),
            ("bytes", LogOptions { limit_bytes: Some(5), ..all() }, "one\nt"),
            (
                "since",
                LogOptions { since_ms: parse_rfc3339_ms("2026-01-01T00:00:02Z"), ..all() },
                "two\nthree\n",
            ),
            (
                "timestamps",
                LogOptions { timestamps: true, tail_lines: Some(1), ..all() },
                "2026-01-01T00:00:03.000000000Z three\n",
            ),
        ] {
            assert_eq!(read(&path, options), expected, "{id}");
        }
    }

    #[test]
    fn rotation_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, "T stdout F one\n").unwrap();
        let mut reader = Reader::open(path.clone(), LogOptions::default()).unwrap();
        assert_eq!(reader.step().unwrap(), b"one\n");
        assert!(reader.step().unwrap().is_empty());
        std::fs::rename(&path, LogFolder::rotated(&path)).unwrap();
        std::fs::write(&path, "T stdout F two\n").unwrap();
        assert_eq!(reader.step().unwrap(), b"two\n");
    }

    #[test]
    fn runs_are_chosen_by_status() {
        let pod =
            |status: Value| json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}});
        let running = pod(json!({"name": "c", "restartCount": 2, "containerID": "flyball://x"}));
        assert_eq!(wanted_run(&running, "c", false), Ok(2));
        assert_eq!(wanted_run(&running, "c", true), Ok(1));
        let waiting = pod(
            json!({"name": "c", "restartCount": 0, "state": {"waiting": {"reason": "ErrImageNeverPull"}}}),
        );
        assert_eq!(
            wanted_run(&waiting, "c", false).unwrap_err(),
            "container \"c\" in pod \"p\" is waiting to start: ErrImageNeverPull"
        );
        assert!(wanted_run(&waiting, "c", true).unwrap_err().starts_with("previous terminated container"));
    }
}
