//! Writing an object: in one piece where it is small, else in parts of one size, of which one is in memory.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use rusty_s3::Method;

use super::client::{Ask, Body, Client};
use crate::archive::ArchiveError;
use crate::archive::place::Writing;

/// Bytes of a part. S3 takes 5 MiB at least, and 10,000 parts: 80 GiB, more than is kept of a build.
pub const PART_BYTES: usize = 8 << 20;

/// An object that is being written.
pub struct Upload {
    client: Arc<Client>,
    key: String,
    /// What is not sent yet: less than a part.
    waits: BytesMut,
    /// Its digest. It is made piece by piece: that of a part takes a while.
    digest: Md5,
    /// Names the upload where it has parts.
    id: Option<String>,
    /// What was answered to each part.
    tags: Vec<String>,
    /// Bytes that were sent.
    sent: u64,
}

impl Upload {
    /// Begins an object. Nothing is sent yet.
    pub fn new(client: Arc<Client>, key: String) -> Self {
        Self {
            client,
            key,
            waits: BytesMut::new(),
            digest: Md5::new(),
            id: None,
            tags: Vec::new(),
            sent: 0,
        }
    }

    async fn part(&mut self) -> Result<(), ArchiveError> {
        let body = self.body();
        let action = "write a part of an object";
        if self.id.is_none() {
            let (key, query) = (self.key.as_str(), &[("uploads", "")]);
            let empty = Some(Bytes::new().into());
            let action = "begin an object";
            let ask = Ask { action, key, query, body: empty, ..Ask::default() };
            let begun = self.client.xml(Method::Post, ask).await?;
            self.id = Some(begun.get("UploadId").to_owned());
        }
        let id = self.id.as_deref().unwrap_or_default();
        let number = (self.tags.len() + 1).to_string();
        let query = &[("partNumber", number.as_str()), ("uploadId", id)];
        let ask = Ask { action, key: &self.key, query, body: Some(body), ..Ask::default() };
        let answer = self.client.send(Method::Put, ask).await?;
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
        self.tags.push(tag.unwrap_or_default().to_owned());
        Ok(())
    }

    /// What waits, to be sent.
    fn body(&mut self) -> Body {
        self.sent += self.waits.len() as u64;
        Body::with(self.waits.split().freeze(), std::mem::take(&mut self.digest))
    }

    /// Puts the parts together.
    async fn complete(&self, id: &str) -> Result<(), ArchiveError> {
        let mut body = "<CompleteMultipartUpload>".to_owned();
        for (index, tag) in self.tags.iter().enumerate() {
            let tag = quick_xml::escape::escape(tag.as_str());
            // Writing to a text does not fail.
            let _ = write!(
                body,
                "<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>",
                index + 1
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let body = Some(Bytes::from(body).into());
        let (key, query) = (self.key.as_str(), &[("uploadId", id)]);
        let ask = Ask { action: "put an object together", key, query, body, ..Ask::default() };
        match self.client.xml(Method::Post, ask).await {
            // The answer to an earlier try may be lost.
            Err(error) => match self.client.read(key, 0, 1).await {
                Ok(Some(there)) if there.size == self.sent => Ok(()),
                _ => Err(error),
            },
            Ok(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Writing for Upload {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let fits = bytes.len().min(PART_BYTES - self.waits.len());
            let piece = bytes.split_to(fits);
            self.digest.update(&piece);
            self.waits.extend_from_slice(&piece);
            if self.waits.len() == PART_BYTES {
                self.part().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), ArchiveError> {
        if self.id.is_none() {
            let body = Some(self.body());
            let ask = Ask { action: "write an object", key: &self.key, body, ..Ask::default() };
            return self.client.send(Method::Put, ask).await.map(drop);
        }
        let done = async {
            if !self.waits.is_empty() {
                self.part().await?;
            }
            self.complete(self.id.as_deref().unwrap_or_default()).await
        };
        let done = done.await;
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn abandon(self: Box<Self>) {
        if let Some(id) = &self.id
            && let Err(error) = abort(&self.client, &self.key, id).await
        {
            tracing::warn!(key = self.key, %error, "an upload is left there until its build is begun again");
        }
    }
}

/// Gives up an upload.
pub async fn abort(client: &Client, key: &str, id: &str) -> Result<(), ArchiveError> {
    let (action, query) = ("give up an upload", &[("uploadId", id)]);
    let ask = Ask { action, key, query, ..Ask::default() };
    match client.try_all(Method::Delete, ask).await {
        Err((_, Some(refusal))) if refusal.code == "NoSuchUpload" => Ok(()),
        done => done.map(drop).map_err(|(error, _)| error),
    }
}
