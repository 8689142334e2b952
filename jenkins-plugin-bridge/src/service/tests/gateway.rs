//! An archive in a bucket of a service that others wrote: versitygw. `cargo xtask counterparts` builds it and names
//! it in `PILOTFISH_TEST_VERSITYGW`; without that these tests are left out.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use rusty_s3::{Credentials, Method, S3Action as _, UrlStyle};

use super::archive::{goes_after_its_time, master, ran, read_without_its_master};
use super::routed::masters_at;
use super::triggers::{options, until};
use super::world::{READER, World, client};
use crate::archive::s3::{ArchiveFile, Bucket};
use crate::archive::tests::a_build_is_put_read_and_removed;
use crate::archive::{Archive, Kept, KeptArtifact, Object};
use crate::triggers::run_triggers;

const SECRET: &str = "hush-hush";
const PART: usize = 8 << 20;
const SIGNED: Duration = Duration::from_secs(60);

/// The service. It keeps objects as files of a directory.
struct Gateway {
    child: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("PILOTFISH_TEST_VERSITYGW") else {
            println!("SKIPPED: PILOTFISH_TEST_VERSITYGW does not name versitygw");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        for name in ["objects", "id", "secret"] {
            let path = directory.path().join(name);
            match name {
                "objects" => std::fs::create_dir(path).unwrap(),
                "id" => std::fs::write(path, "AKID\n").unwrap(),
                _ => std::fs::write(path, format!("{SECRET}\n")).unwrap(),
            }
        }
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        command.args(["--access", "AKID", "--secret", SECRET, "--region", "us-east-1", "--quiet"]);
        command.args(["--port", &address.to_string(), "posix"]);
        command.arg(directory.path().join("objects"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let server = Self { child, url: format!("http://{address}"), directory };
        until("the service", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        let keys = Credentials::new("AKID", SECRET);
        let request = server.of("builds").create_bucket(&keys).sign(SIGNED);
        assert!(client().put(request).send().await.unwrap().status().is_success());
        Some(server)
    }

    fn of(&self, bucket: &str) -> rusty_s3::Bucket {
        let url = self.url.parse().unwrap();
        rusty_s3::Bucket::new(url, UrlStyle::Path, bucket.to_owned(), "us-east-1").unwrap()
    }

    fn archive(&self, bucket: &str, more: &str) -> Archive {
        let text = format!(
            "api: pilotfish/v1\nkind: archive\ns3: {{endpoint: '{}', bucket: {bucket}, prefix: ci/a, \
             access_key_file: id, secret_key_file: secret{more}}}\n",
            self.url
        );
        let file = ArchiveFile::read("archive.yaml", &text).unwrap();
        let bucket = Bucket::of("archive.yaml", &file.s3, self.directory.path()).unwrap();
        Archive::in_bucket(bucket.impatient(), Duration::from_secs(86_400), 64 << 20)
    }

    /// What the service answers to a list, of objects or of unfinished uploads.
    async fn list(&self, query: &[(&str, &str)]) -> String {
        let url = rusty_s3::signing::sign(
            &jiff::Timestamp::now(),
            Method::Get,
            self.of("builds").base_url().clone(),
            "AKID",
            SECRET,
            None,
            "us-east-1",
            SIGNED.as_secs(),
            query.iter().copied(),
            std::iter::empty(),
        );
        client().get(url).send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn a_bucket_of_others_has_builds() {
    let Some(server) = Gateway::start().await else { return };
    let archive = server.archive("builds", "");
    a_build_is_put_read_and_removed(&archive).await;
    // Around the size of a part, from nothing on.
    let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART + 5];
    let draft = archive.begin("r-1").await.unwrap();
    let mut artifacts = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut writing = draft.write(Object::Artifact(number)).await.unwrap();
        for piece in bytes.chunks(300_000) {
            writing.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writing.finish().await.unwrap();
        use sha2::{Digest as _, Sha256};
        let digest: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        artifacts.push(KeptArtifact {
            path: format!("out/ein 100 % großes +{number}&?#.txt"),
            bytes: Some(size as u64),
            sha256: Some(digest),
        });
    }
    let kept = Kept { artifacts, ..Kept::default() };
    draft.finish(&kept).await.unwrap();
    assert_eq!(archive.kept("r-1").await.unwrap(), Some(kept));
    for (number, size) in sizes.into_iter().enumerate() {
        let read = archive.artifact("r-1", number).await.unwrap().unwrap();
        // Its digest is compared, too.
        let pieces: Vec<Bytes> = read.pieces.try_collect().await.unwrap();
        assert_eq!(pieces.concat().len(), size);
    }
    // One that a process left behind is given up when its build is begun again.
    let uploads = async || server.list(&[("prefix", "ci/a/"), ("uploads", "")]).await;
    let mut writing = archive.begin("r-2").await.unwrap().write(Object::Log).await.unwrap();
    writing.write(vec![b'x'; PART].into()).await.unwrap();
    drop(writing);
    assert!(uploads().await.contains("<UploadId>"), "{}", uploads().await);
    archive.begin("r-2").await.unwrap();
    assert!(!uploads().await.contains("<UploadId>"), "{}", uploads().await);
    archive.remove("r-1").await.unwrap();
    let left = server.list(&[("list-type", "2"), ("prefix", "ci/a/")]).await;
    assert!(!left.contains("<Key>"), "{left}");
}

#[tokio::test]
async fn what_a_service_of_others_refuses_is_told() {
    let Some(server) = Gateway::start().await else { return };
    let file = |name: &str, text: &str| {
        std::fs::write(server.directory.path().join(name), text).unwrap();
    };
    let told = async |archive: &Archive| {
        let error = archive.check().await.unwrap_err();
        assert!(!error.is_passing(), "{error}");
        error.to_string().replace(&server.url, "http://server")
    };
    let mut all = vec![
        told(&server.archive("other", "")).await,
        told(&server.archive("builds", ", region: eu-central-1")).await,
    ];
    for (name, wrong, right) in [("id", "nobody", "AKID"), ("secret", "wrong", SECRET)] {
        file(name, wrong);
        let archive = server.archive("builds", "");
        all.push(told(&archive).await);
        // The right one is taken as soon as the wrong one is refused.
        file(name, right);
        archive.check().await.unwrap();
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn what_builds_left_outlives_their_master_at_a_service_of_others() {
    const LARGE: usize = PART + 100_000;
    let Some(server) = Gateway::start().await else { return };
    let master = master(LARGE).await;
    let directory = tempfile::tempdir().unwrap();
    let archive = server.archive("builds", "");
    let world = World::with_this_archive(directory, masters_at(&master.url), archive).await;
    let id = ran(&world).await;
    let leader =
        tokio::spawn(run_triggers(Arc::clone(&world.service), "one".to_owned(), options()));
    let path = format!("/v1/builds/{id}/artifacts");
    until("the archive", async || {
        world.get(&path, READER).await.ok()["archive"]["state"] == "done"
    })
    .await;
    leader.abort();
    let _ = leader.await;
    let asked = master.requests().len();
    read_without_its_master(&world, &id, Some(LARGE as u64)).await;
    assert_eq!(master.requests().len(), asked);
    goes_after_its_time(&world, &id).await;
    let left = server.list(&[("list-type", "2"), ("prefix", "ci/a/")]).await;
    assert!(!left.contains("<Key>"), "{left}");
}
