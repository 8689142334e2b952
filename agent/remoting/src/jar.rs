//! The peer's jars over the channel: which one a class is in, and its contents
//! (`hudson.remoting.JarLoader`). They are data here; a JVM may run them.

use std::fmt;

use java_object_stream::{Graph, ReadOptions, jdk};
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::channel::{CallError, Channel, IoScope, StreamError};
use crate::reference::{ProxyReference, output_datum, proxy_of};

/// The longest jar that is taken, in bytes. A remoting library has 1.4 MiB.
const MAX_JAR_BYTES: u64 = 256 << 20;

/// The property under which a peer keeps its jar loader (`JarLoader.OURS`).
const JAR_LOADER: &str = "hudson.remoting.JarLoader.ours";

/// A jar, by the SHA-256 of its contents folded to half its length (`hudson.remoting.Checksum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JarChecksum {
    /// The first and the third quarter of the hash, joined by exclusive or.
    pub sum1: i64,
    /// The second and the fourth.
    pub sum2: i64,
}

/// A jar cannot be had over the channel.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JarError {
    /// The peer refused.
    #[error("the controller does not give the jar: {0}")]
    Call(#[from] CallError),
    /// What the peer sent broke off.
    #[error("the jar did not arrive: {0}")]
    Stream(#[from] StreamError),
    /// It could not be written here.
    #[error("the jar cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// The peer's class is in no jar, as in a controller that is run from its sources.
    #[error("the controller has {class} in no jar")]
    NotInAJar {
        /// The class.
        class: String,
    },
    /// It does not end.
    #[error("the controller sent a jar of more than {MAX_JAR_BYTES} bytes")]
    TooLong,
    /// The peer's jar loader is not what it should be.
    #[error("the controller has no jar loader")]
    NoLoader,
}

impl JarChecksum {
    /// Folds the SHA-256 of a jar.
    #[must_use]
    pub fn of_sha256(digest: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
            *word = i64::from_be_bytes(*bytes);
        }
        let [a, b, c, d] = words;
        Self { sum1: a ^ c, sum2: b ^ d }
    }
}

/// As the Java library names the file in its cache, without the folder's separator and `.jar`
/// (`FileSystemJarCache.map`).
impl fmt::Display for JarChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}{:016X}", self.sum1, self.sum2)
    }
}

impl Channel {
    /// Which of the peer's jars holds a class that its core loader sees. Waits for the peer's first
    /// request, which names that loader.
    ///
    /// # Errors
    /// When the peer does not know the class or has it in no jar, or the channel ends.
    pub async fn jar_of(&self, class: &str) -> Result<JarChecksum, JarError> {
        let loader = self.until_core_loader().await.ok_or(CallError::NoLoader)?;
        let classes = self.fetch_classes(loader, class).await?;
        let jar = classes.get(class).copied().flatten();
        jar.ok_or_else(|| JarError::NotInAJar { class: class.to_owned() })
    }

    /// Writes the peer's jar into `sink`, and returns its length in bytes. Whether it is the right one is
    /// for the caller to check: see [`JarChecksum::of_sha256`].
    ///
    /// # Errors
    /// When the peer does not have it, the sink fails, or the channel ends.
    pub async fn download_jar(
        &self,
        jar: JarChecksum,
        sink: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<u64, JarError> {
        // The channel itself is never released.
        let peer = ProxyReference { oid: 1, going_home: false, auto_unexport: true };
        let scope = IoScope::new();
        let types = &["java.lang.Object"];
        let property = self.proxy(peer);
        let found =
            property.invoke("waitForProperty", types, vec![JAR_LOADER.into()], &scope).await?;
        let loader = Graph::parse(&found, &ReadOptions::default())
            .ok()
            .and_then(|graph| graph.root().ok().and_then(proxy_of))
            .map(|reference| self.proxy(reference))
            .ok_or(JarError::NoLoader)?;

        let (oid, mut reader) = self.export_sink();
        let arguments = vec![jdk::long(jar.sum1), jdk::long(jar.sum2), output_datum(oid)];
        let types = &["long", "long", "java.io.OutputStream"];
        let written = loader.invoke("writeJarTo", types, arguments, &scope);
        tokio::pin!(written);
        let mut open = true;
        let mut length = 0;
        // The answer counts once all I/O before it is complete, and a chunk is once the next is asked for.
        loop {
            tokio::select! {
                chunk = reader.next(), if open => match chunk? {
                    Some(chunk) => {
                        length += chunk.len() as u64;
                        if length > MAX_JAR_BYTES {
                            return Err(JarError::TooLong);
                        }
                        sink.write_all(&chunk).await?;
                    }
                    None => open = false,
                },
                answer = &mut written => {
                    answer?;
                    sink.flush().await?;
                    return Ok(length);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_folded_and_named_as_in_java() {
        let mut digest = [0; 32];
        for (index, byte) in (0_u8..).zip(&mut digest) {
            *byte = index;
        }
        let jar = JarChecksum::of_sha256(&digest);
        assert_eq!(jar.sum1, 0x0001_0203_0405_0607 ^ 0x1011_1213_1415_1617);
        assert_eq!(jar.sum2, 0x0809_0A0B_0C0D_0E0F ^ 0x1819_1A1B_1C1D_1E1F);
        assert_eq!(jar.to_string(), "10101010101010101010101010101010");
    }
}
