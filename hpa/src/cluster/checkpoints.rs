//! History in ConfigMaps: entries of several HPAs that are due together travel in one patch per shard.

use super::{Api, encode};
use crate::checkpoint::{MAX_SHARD_BYTES, SHARDS, shard, shard_name};
use crate::error::ApiError;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tokio::sync::Mutex;

/// Entries of one shard.
#[derive(Default)]
struct Shard {
    exists: bool,
    /// Bytes stored, by HPA.
    sizes: HashMap<String, usize>,
    /// Entries to write: text, or `None` to remove.
    waiting: HashMap<String, Option<String>>,
}

impl Shard {
    fn bytes(&self) -> usize {
        self.sizes.values().sum()
    }
}

/// Reads entries when a term of leadership begins and writes them when they must be.
pub(crate) struct Checkpoints {
    api: Api,
    namespace: String,
    /// Waiting entries, and the writer's turn: whoever holds a shard's second lock writes for all that wait.
    shards: Vec<(Mutex<Shard>, Mutex<()>)>,
}

impl Checkpoints {
    pub(crate) fn new(api: Api, namespace: String) -> Self {
        Checkpoints { api, namespace, shards: (0..SHARDS).map(|_| Default::default()).collect() }
    }

    /// All entries, by UID.
    ///
    /// # Errors
    ///
    /// A shard could not be read. One that does not exist is empty.
    pub(crate) async fn load(&self) -> Result<HashMap<String, String>, ApiError> {
        let mut entries = HashMap::new();
        for index in 0..SHARDS {
            let object = match self.api.get(&self.path(index)).await {
                Ok(object) => Some(object),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let mut shard = self.shards[index as usize].0.lock().await;
            // Another replica may have written since this one last did; what waited here is older.
            *shard = Shard { exists: object.is_some(), ..Shard::default() };
            let Some(object) = object else { continue };
            for (uid, text) in object["data"].as_object().into_iter().flatten() {
                let Some(text) = text.as_str() else { continue };
                shard.sizes.insert(uid.clone(), text.len());
                entries.insert(uid.clone(), text.to_owned());
            }
        }
        Ok(entries)
    }

    /// Queues an entry (`None` removes it) without writing.
    pub(crate) async fn queue(&self, uid: &str, entry: Option<String>) {
        let mut shard = self.shards[shard(uid) as usize].0.lock().await;
        if entry.is_none() && !shard.sizes.contains_key(uid) {
            shard.waiting.remove(uid);
            return;
        }
        shard.waiting.insert(uid.to_owned(), entry);
    }

    /// Writes an entry, with whatever else waits in its shard; returns when it is stored.
    ///
    /// # Errors
    ///
    /// The server refused, or the shard is full. The entry keeps waiting.
    pub(crate) async fn write(&self, uid: &str, entry: String) -> Result<(), ApiError> {
        self.queue(uid, Some(entry)).await;
        self.flush(shard(uid)).await
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    ///
    /// The first failure; the other shards are written nevertheless.
    pub(crate) async fn flush_all(&self) -> Result<(), ApiError> {
        let mut result = Ok(());
        for index in 0..SHARDS {
            let written = self.flush(index).await;
            result = result.and(written);
        }
        result
    }

    async fn flush(&self, index: u32) -> Result<(), ApiError> {
        let (state, turn) = &self.shards[index as usize];
        // While one writes, entries of others gather; the next turn takes them all.
        let _turn = turn.lock().await;
        let (batch, exists, full) = {
            let mut shard = state.lock().await;
            let batch = std::mem::take(&mut shard.waiting);
            let new: usize = batch.values().flatten().map(String::len).sum();
            let replaced: usize = batch.keys().filter_map(|uid| shard.sizes.get(uid)).sum();
            let full = shard.bytes() + new - replaced.min(shard.bytes() + new) > MAX_SHARD_BYTES;
            (batch, shard.exists, full)
        };
        if batch.is_empty() {
            return Ok(());
        }
        let result = match full {
            true => Err(ApiError { code: 0, message: format!("{} is full", shard_name(index)) }),
            false => self.send(index, &batch, exists).await,
        };
        let mut shard = state.lock().await;
        match result {
            Ok(()) => {
                shard.exists = true;
                for (uid, entry) in batch {
                    match entry {
                        Some(text) => shard.sizes.insert(uid, text.len()),
                        None => shard.sizes.remove(&uid),
                    };
                }
                Ok(())
            }
            Err(error) => {
                shard.exists &= !error.is_not_found();
                // An entry that came meanwhile is newer.
                for (uid, entry) in batch {
                    shard.waiting.entry(uid).or_insert(entry);
                }
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        index: u32,
        batch: &HashMap<String, Option<String>>,
        exists: bool,
    ) -> Result<(), ApiError> {
        let data: Map<String, Value> = batch.iter().map(|(uid, entry)| (uid.clone(), json!(entry))).collect();
        if exists {
            match self.api.merge_patch(&self.path(index), &json!({ "data": data })).await {
                Err(error) if error.is_not_found() => {}
                answer => return answer.map(drop),
            }
        }
        let data: Map<String, Value> = data.into_iter().filter(|(_, entry)| !entry.is_null()).collect();
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": shard_name(index),
                "namespace": self.namespace,
                "labels": { "app.kubernetes.io/managed-by": "flyball-hpa" },
            },
            "data": data,
        });
        let path = format!("/api/v1/namespaces/{}/configmaps", encode(&self.namespace));
        match self.api.post(&path, &body).await {
            // Someone made it meanwhile (a process that is just going away): add to it.
            Err(error) if error.is_conflict() => {
                self.api.merge_patch(&self.path(index), &json!({ "data": data })).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    fn path(&self, index: u32) -> String {
        format!("/api/v1/namespaces/{}/configmaps/{}", encode(&self.namespace), shard_name(index))
    }
}
