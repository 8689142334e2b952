//! An archive in a bucket of S3, or of what speaks as it does. A build is the objects `PREFIX/BUILD/…`, of which
//! `kept.json` is written last and removed first: a build without it is not there.

mod answer;
mod client;
pub mod file;
mod keys;
mod upload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rusty_s3::{Method, UrlStyle};

pub use file::{Addressing, ArchiveFile, ArchiveKind, BucketSpec};

use self::client::{Ask, Begun, Client};
use self::keys::{Keys, Source};
use self::upload::{Upload, abort};
use super::ArchiveError;
use super::place::{Object, Place, Reading, Writing};
use crate::error::{BridgeError, Problem};
use crate::rest::retry::RetryPolicy;

/// Requests at the same time that remove objects of one build.
const REMOVED_AT_ONCE: usize = 8;
/// Pages of a list that are followed, of a thousand names: more than a build has.
const PAGES: usize = 8;
/// Five tries within about eight seconds. What fails then is tried again with its build.
const RETRY: RetryPolicy =
    RetryPolicy { tries: 5, base: Duration::from_millis(500), longest: Duration::from_secs(10) };

/// A bucket.
#[derive(Debug, Clone)]
pub struct Bucket(Arc<Client>);

impl Bucket {
    /// Reads the file about a bucket, and the access key that it names. Paths in it are beside it.
    ///
    /// # Errors
    /// [`BridgeError::Archive`] with everything that is wrong.
    pub fn load(path: &Path) -> Result<Self, BridgeError> {
        let read = ArchiveFile::load(path)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::of(&path.display().to_string(), &read.s3, directory)
    }

    /// A bucket as it is declared; `file` is the name of the file in messages.
    ///
    /// # Errors
    /// [`BridgeError::Archive`] with everything that is wrong.
    pub fn of(file: &str, spec: &BucketSpec, directory: &Path) -> Result<Self, BridgeError> {
        let mut wrong = Vec::new();
        let mut add = |field: &str, message: String| {
            wrong.push(Problem::new(format!("s3.{field}"), message));
        };
        let source = match (&spec.access_key_file, &spec.secret_key_file) {
            (Some(access), Some(secret)) => Source::Files {
                access: directory.join(access),
                secret: directory.join(secret),
                session: spec.session_token_file.as_ref().map(|file| directory.join(file)),
            },
            _ => Source::of_variables(&spec.region, |name| std::env::var(name).ok()),
        };
        for (field, message) in source.problems() {
            add(field, message);
        }
        let ca_files: Vec<_> = spec.ca_files.iter().map(|file| directory.join(file)).collect();
        let http = client::http(&ca_files).map_err(|message| add("ca_files", message)).ok();
        let style = match spec.addressing {
            Addressing::Path => UrlStyle::Path,
            Addressing::VirtualHost => UrlStyle::VirtualHost,
        };
        let endpoint = reqwest::Url::parse(&spec.endpoint).map_err(|error| error.to_string());
        let bucket = endpoint.and_then(|endpoint| {
            rusty_s3::Bucket::new(endpoint, style, spec.bucket.clone(), spec.region.clone())
                .map_err(|error| match spec.addressing {
                    Addressing::Path => error.to_string(),
                    Addressing::VirtualHost => format!(
                        "{error}: {} cannot be put before its host; expected `addressing: path`",
                        spec.bucket
                    ),
                })
        });
        let bucket = bucket.map_err(|message| add("endpoint", message)).ok();
        match (bucket, http) {
            (Some(bucket), Some(http)) if wrong.is_empty() => {
                let prefix = spec.prefix.trim_end_matches('/');
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                let keys = Keys::new(source, http.clone());
                Ok(Self(Arc::new(Client { bucket, keys, http, retry: RETRY, prefix })))
            }
            _ => {
                let wrong = wrong.into_iter().map(|one| one.in_file(file)).collect();
                Err(BridgeError::Archive(wrong))
            }
        }
    }

    /// The same, which tries again at once.
    #[cfg(test)]
    pub fn impatient(mut self) -> Self {
        let client = Arc::get_mut(&mut self.0).unwrap();
        client.retry.base = Duration::from_millis(1);
        self
    }

    fn key(&self, build: &str, object: Object) -> String {
        format!("{}{build}/{object}", self.0.prefix)
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), ArchiveError> {
        let body = Some(body.into());
        let ask = Ask { action: "write an object", key, body, ..Ask::default() };
        self.0.send(Method::Put, ask).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        let ask = Ask { action: "remove an object", key, ..Ask::default() };
        match self.0.try_all(Method::Delete, ask).await {
            Err((_, Some(refusal))) if refusal.code == "NoSuchKey" => Ok(()),
            done => done.map(drop).map_err(|(error, _)| error),
        }
    }

    /// The first thousand objects whose names begin so.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, ArchiveError> {
        let query = &[("list-type", "2"), ("prefix", prefix)];
        let ask = Ask { action: "list objects", query, ..Ask::default() };
        let page = self.0.xml(Method::Get, ask).await?;
        let keys = page.all("Contents").map(|one| one.get("Key").to_owned());
        // A service that does not know the parameter would list the whole bucket.
        Ok(keys.filter(|key| key.starts_with(prefix)).collect())
    }

    /// Gives up the uploads of a build that were left unfinished.
    async fn abort_all(&self, prefix: &str) -> Result<(), ArchiveError> {
        let query = &[("prefix", prefix), ("uploads", "")];
        let ask = Ask { action: "list uploads", query, ..Ask::default() };
        // Not all that speak S3 can do it, and forget what is old by themselves; some call an empty list so.
        let none = ["NotImplemented", "NoSuchUpload"];
        let page = self.0.xml_unless(Method::Get, ask, &none).await?.unwrap_or_default();
        let left = page.all("Upload").map(|one| (one.get("Key"), one.get("UploadId")));
        for (key, id) in left.filter(|(key, _)| key.starts_with(prefix)) {
            abort(&self.0, key, id).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Place for Bucket {
    async fn check(&self) -> Result<(), ArchiveError> {
        let id = crate::agents::new_id().unwrap_or_default();
        let prefix = format!("{}check-{id}/", self.0.prefix);
        let key = format!("{prefix}object");
        let text = Bytes::from_static(b"Pilotfish makes sure that it can write here.\n");
        self.put(&key, text.clone()).await?;
        let read = match self.0.read(&key, 0, u64::MAX).await? {
            Some(begun) => begun.comes == text.len() as u64,
            None => false,
        };
        if !read {
            let reason = "what was written is not there as it was. Is it S3 there?".to_owned();
            let action = "read an object";
            return Err(ArchiveError::Refused { bucket: self.0.shown(), action, reason });
        }
        self.list(&prefix).await?;
        self.abort_all(&prefix).await?;
        self.delete(&key).await
    }

    async fn begin(&self, build: &str) -> Result<(), ArchiveError> {
        self.abort_all(&format!("{}{build}/", self.0.prefix)).await
    }

    async fn write(&self, build: &str, object: Object) -> Result<Box<dyn Writing>, ArchiveError> {
        Ok(Box::new(Upload::new(Arc::clone(&self.0), self.key(build, object))))
    }

    async fn finish(&self, build: &str, kept: Bytes) -> Result<(), ArchiveError> {
        self.put(&self.key(build, Object::Kept), kept).await
    }

    async fn read(
        &self,
        build: &str,
        object: Object,
        from: u64,
        most: u64,
    ) -> Result<Option<Reading>, ArchiveError> {
        let begun = self.0.read(&self.key(build, object), from, most).await?;
        let Some(Begun { response, size, comes }) = begun else { return Ok(None) };
        let state = (Arc::clone(&self.0), response, comes);
        let pieces = stream::try_unfold(state, async |(client, mut response, left)| {
            if left == 0 {
                return Ok(None);
            }
            let piece = client.piece(&mut response).await?;
            let mut piece = piece.ok_or_else(|| client.ended_early())?;
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - piece.len() as u64;
            Ok(Some((piece, (client, response, left))))
        });
        Ok(Some(Reading { size, pieces: pieces.boxed() }))
    }

    async fn remove(&self, build: &str) -> Result<(), ArchiveError> {
        let prefix = format!("{}{build}/", self.0.prefix);
        self.delete(&self.key(build, Object::Kept)).await?;
        self.abort_all(&prefix).await?;
        for _ in 0..PAGES {
            let keys = self.list(&prefix).await?;
            if keys.is_empty() {
                return Ok(());
            }
            stream::iter(keys)
                .map(|key| async move { self.delete(&key).await })
                .buffer_unordered(REMOVED_AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        // The rest goes with the next try.
        let reason = "there is always more of it".to_owned();
        let (bucket, action) = (self.0.shown(), "remove a build");
        Err(ArchiveError::Away { bucket, action, reason, tries: 1 })
    }
}
