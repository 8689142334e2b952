//! An image as an OCI archive: the layout of an image in one tar file, which containerd, podman,
//! skopeo and docker read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Error;

/// The annotation by which an importer of a layout learns its tag.
const NAME: &str = "org.opencontainers.image.ref.name";
/// The one by which containerd learns its whole name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// How a container of an image starts, under the names of the format.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// `user:group`, by numbers: Kubernetes tells so that it is not root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Variables, as `NAME=value`.
    pub env: Vec<String>,
    /// The program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where no entry point is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// What is written on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// An image under construction.
#[derive(Debug)]
pub struct Image {
    config: Config,
    layers: Vec<Packed>,
    /// Seconds since 1970 of everything in it.
    epoch: u64,
}

/// A layer in a temporary file.
#[derive(Debug)]
struct Packed {
    file: File,
    size: u64,
    digest: String,
    /// Digest of the tar file before it was packed.
    content: String,
    made_by: String,
}

impl Image {
    /// One without layers.
    #[must_use]
    pub fn new(config: Config, epoch: u64) -> Self {
        Self { config, layers: Vec::new(), epoch }
    }

    /// Adds a layer, which `write` writes as a tar file; it is packed on the way.
    ///
    /// # Errors
    /// Those of `write`, and of temporary files.
    pub fn layer(
        &mut self,
        made_by: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let at = || Error::at(Path::new("temporary file"));
        let file = tempfile::tempfile().map_err(at())?;
        let packed = Hashing::new(BufWriter::new(file));
        let mut content = Hashing::new(GzEncoder::new(packed, Compression::default()));
        write(&mut content)?;
        let (packer, content, _) = content.end();
        let (file, digest, size) = packer.finish().map_err(at())?.end();
        let file = file.into_inner().map_err(|error| at()(error.into_error()))?;
        self.layers.push(Packed { file, size, digest, content, made_by: made_by.to_owned() });
        Ok(())
    }

    /// Writes the archive and returns the digest of the image's manifest, as `sha256:…`.
    ///
    /// # Errors
    /// Those of files.
    pub fn write(mut self, archive: &Path, name: &str) -> Result<String, Error> {
        let configuration = serde_json::to_string(&self.configuration())?;
        let layers = self.layers.iter();
        let layers = layers.map(|one| descriptor("image.layer.v1.tar+gzip", &one.digest, one.size));
        let config = described("image.config.v1+json", &configuration);
        let manifest = serde_json::to_string(&json!({
            "schemaVersion": 2,
            "mediaType": media_type("image.manifest.v1+json"),
            "config": config,
            "layers": layers.collect::<Vec<_>>(),
        }))?;
        let digest = hex(&Sha256::digest(manifest.as_bytes()));
        let index = serde_json::to_string(&index(&manifest, name))?;
        let file = File::create(archive).map_err(Error::at(archive))?;
        let mut tar = Builder::new(BufWriter::new(file));
        let mut add = |path: &str, size: u64, content: &mut dyn Read| {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(self.epoch);
            header.set_size(size);
            tar.append_data(&mut header, path, content).map_err(Error::at(archive))
        };
        let texts = [
            ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string()),
            ("index.json".to_owned(), index),
            (blob_path(&hex(&Sha256::digest(configuration.as_bytes()))), configuration),
            (blob_path(&digest), manifest),
        ];
        for (path, text) in &texts {
            add(path, text.len() as u64, &mut text.as_bytes())?;
        }
        for layer in &mut self.layers {
            layer.file.seek(SeekFrom::Start(0)).map_err(Error::at(archive))?;
            add(&blob_path(&layer.digest), layer.size, &mut layer.file)?;
        }
        tar.into_inner().and_then(|mut file| file.flush()).map_err(Error::at(archive))?;
        Ok(format!("sha256:{digest}"))
    }

    /// Bytes of all layers as they are stored and sent.
    #[must_use]
    pub fn packed_size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    fn configuration(&self) -> Value {
        let created = created(self.epoch);
        let contents = self.layers.iter().map(|layer| format!("sha256:{}", layer.content));
        let history = self.layers.iter();
        let history = history.map(|one| json!({"created": created, "created_by": one.made_by}));
        json!({
            "created": created,
            "architecture": architecture(),
            "os": std::env::consts::OS,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": contents.collect::<Vec<_>>()},
            "history": history.collect::<Vec<_>>(),
        })
    }
}

fn index(manifest: &str, name: &str) -> Value {
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut one = described("image.manifest.v1+json", manifest);
    one["annotations"] = json!({NAME: tag, CONTAINERD_NAME: whole_name(name)});
    one["platform"] = json!({"architecture": architecture(), "os": std::env::consts::OS});
    json!({
        "schemaVersion": 2,
        "mediaType": media_type("image.index.v1+json"),
        "manifests": [one],
    })
}

/// This processor, under the name that images and Debian have for it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A name as containerd keeps it. Where it names no registry, that of Docker is meant.
fn whole_name(name: &str) -> String {
    match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

fn described(kind: &str, text: &str) -> Value {
    descriptor(kind, &hex(&Sha256::digest(text.as_bytes())), text.len() as u64)
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type(kind), "digest": format!("sha256:{digest}"), "size": size})
}

fn media_type(kind: &str) -> String {
    format!("application/vnd.oci.{kind}")
}

fn blob_path(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// A time as descriptions of images and of their contents write it.
pub(crate) fn created(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Years up to 9999, which is all that the former gives, can be written.
    time.format(&Rfc3339).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts and digests what is written through it.
#[derive(Debug)]
struct Hashing<W> {
    inner: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Sha256::new(), size: 0 }
    }

    fn end(self) -> (W, String, u64) {
        (self.inner, hex(&self.digest.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;

    #[test]
    fn the_same_input_gives_the_same_digest() {
        let build = |text: &str, dir: &Path| {
            let labels = (0..8).map(|at| (format!("label-{at}"), text.to_owned()));
            let config = Config { labels: labels.collect(), ..Config::default() };
            let mut image = Image::new(config, 1);
            let layer = Layer::new().file("a", 0o644, text).link("b", "a");
            image.layer("test", |writer| layer.write_to(writer, 1)).unwrap();
            let path = dir.join("image.tar");
            let digest = image.write(&path, "localhost/test:1").unwrap();
            (digest, std::fs::read(path).unwrap())
        };
        let dir = tempfile::tempdir().unwrap();
        let first = build("text", dir.path());
        assert_eq!(first, build("text", dir.path()));
        assert_ne!(first.0, build("other text", dir.path()).0);
        assert!(first.0.starts_with("sha256:"));
    }

    #[test]
    fn an_archive_is_a_layout_whose_blobs_are_what_their_names_say() {
        let mut image = Image::new(Config::default(), 1);
        let layer = Layer::new().file("a", 0o644, "text");
        image.layer("test", |writer| layer.write_to(writer, 1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tar");
        let digest = image.write(&path, "test:1").unwrap();
        let mut names = Vec::new();
        for entry in tar::Archive::new(File::open(path).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(expected) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(hex(&Sha256::digest(&bytes)), expected);
            } else if name == "index.json" {
                let index: Value = serde_json::from_slice(&bytes).unwrap();
                let manifest = &index["manifests"][0];
                assert_eq!(manifest["digest"], digest.as_str());
                assert_eq!(manifest["annotations"][NAME], "1");
                assert_eq!(manifest["annotations"][CONTAINERD_NAME], "docker.io/library/test:1");
            }
            names.push(name);
        }
        assert_eq!(names[..2], ["oci-layout", "index.json"]);
        assert_eq!(names.len(), 5);
    }
}
