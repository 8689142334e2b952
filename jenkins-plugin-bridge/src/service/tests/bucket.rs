//! An archive in a bucket, of a server that checks signatures and fails when told to: `integration/s3-server`.
//! `cargo xtask test` builds it and names it in `PILOTFISH_TEST_S3`; without that these tests are left out.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::archive::{artifact, goes_after_its_time, master, ran, read_without_its_master};
use super::routed::masters_at;
use super::triggers::{options, until};
use super::world::{READER, World, client};
use crate::archive::s3::{ArchiveFile, Bucket};
use crate::archive::tests::a_build_is_put_read_and_removed;
use crate::archive::{Archive, ArchiveError, Kept, KeptArtifact, Object, Writing};
use crate::triggers::run_triggers;

const SECRET: &str = "hush-hush";
const PART: usize = 8 << 20;

/// The server. It ends with its standard input.
struct S3 {
    child: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("PILOTFISH_TEST_S3") else {
            println!(
                "SKIPPED: PILOTFISH_TEST_S3 does not name the server of integration/s3-server"
            );
            return None;
        };
        let mut command = Command::new(program);
        command.args(["AKID", SECRET, "builds"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("id"), "AKID\n").unwrap();
        std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
        Some(Self { child, url: url.trim().to_owned(), directory })
    }

    fn bucket(&self, name: &str) -> Bucket {
        let text = format!(
            "api: pilotfish/v1\nkind: archive\ns3: {{endpoint: '{}', bucket: {name}, prefix: ci/a, \
             access_key_file: id, secret_key_file: secret}}\n",
            self.url
        );
        let file = ArchiveFile::read("archive.yaml", &text).unwrap();
        Bucket::of("archive.yaml", &file.s3, self.directory.path()).unwrap().impatient()
    }

    fn archive(&self, name: &str) -> Archive {
        Archive::in_bucket(self.bucket(name), Duration::from_secs(86_400), 64 << 20)
    }

    async fn control(&self, what: &str) -> String {
        let sent = client().post(format!("{}/-/{what}", self.url)).send().await.unwrap();
        sent.text().await.unwrap()
    }

    /// How many requests there were whose line has all of these words.
    async fn count(&self, words: &[&str]) -> usize {
        let lines = self.control("requests").await;
        lines.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

/// Bytes of which no two parts are the same.
fn bytes(size: usize) -> Bytes {
    let mut text = Vec::with_capacity(size + 8);
    while text.len() < size {
        text.extend_from_slice(&text.len().to_le_bytes());
    }
    text.truncate(size);
    text.into()
}

async fn whole(archive: &Archive, object: usize) -> Result<Vec<u8>, ArchiveError> {
    use futures_util::TryStreamExt as _;
    let read = archive.artifact("r-1", object).await?.unwrap();
    let pieces: Vec<Bytes> = read.pieces.try_collect().await?;
    Ok(pieces.concat())
}

async fn finish(archive: &Archive, size: usize) {
    let draft = archive.begin("r-1").await.unwrap();
    let artifact = KeptArtifact { bytes: Some(size as u64), ..KeptArtifact::default() };
    draft.finish(&Kept { artifacts: vec![artifact], ..Kept::default() }).await.unwrap();
}

async fn begin(archive: &Archive) -> Box<dyn Writing> {
    archive.begin("r-1").await.unwrap().write(Object::Artifact(0)).await.unwrap()
}

#[tokio::test]
async fn a_bucket_has_builds() {
    let Some(server) = S3::start() else { return };
    a_build_is_put_read_and_removed(&server.archive("builds")).await;
    let removed = server.count(&["DELETE", "/ci/a/r-1/"]).await;
    assert!(removed >= 5, "{}", server.control("requests").await);
    assert_eq!(server.count(&["403"]).await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_told_at_once() {
    let Some(server) = S3::start() else { return };
    let told = async |archive: &Archive| {
        let error = archive.check().await.unwrap_err();
        assert!(!error.is_passing(), "{error}");
        error.to_string().replace(&server.url, "http://server")
    };
    let mut all = vec![told(&server.archive("other")).await];
    let secret = |text: &str| std::fs::write(server.directory.path().join("secret"), text).unwrap();
    secret("wrong");
    let archive = server.archive("builds");
    all.push(told(&archive).await);
    // A new secret is taken as soon as the old one is refused.
    secret(SECRET);
    archive.check().await.unwrap();
    std::fs::write(server.directory.path().join("id"), "nobody").unwrap();
    all.push(told(&server.archive("builds")).await);
    insta::assert_snapshot!(all.join("\n"));
    // Nothing listens there.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (gone, wrong) = (format!("http://{gone}"), "is:no/address");
    for (endpoint, passes) in [(gone.as_str(), true), (wrong, false)] {
        let text = format!(
            "api: pilotfish/v1\nkind: archive\ns3: {{endpoint: '{endpoint}', bucket: builds, \
             access_key_file: id, secret_key_file: secret}}\n"
        );
        let file = ArchiveFile::read("archive.yaml", &text);
        assert_eq!(file.is_ok(), passes);
        if let Ok(file) = file {
            let bucket = Bucket::of("a", &file.s3, server.directory.path()).unwrap().impatient();
            let error = Archive::in_bucket(bucket, Duration::ZERO, 0).check().await.unwrap_err();
            assert!(error.is_passing() && error.to_string().contains("(5 tries)"), "{error}");
            assert!(!error.to_string().contains("Signature"), "{error}");
        }
    }
}

#[tokio::test]
async fn large_artefacts_go_in_parts_and_again_where_a_part_is_lost() {
    let Some(server) = S3::start() else { return };
    let archive = server.archive("builds");
    let all = bytes(2 * PART + 5);
    // Busy twice, then a part is cut, and all of it is sent.
    for fault in [
        "fail?times=2&status=503&method=POST&path=uploads",
        "fail?times=1&cut=100000&method=PUT&path=partNumber=2",
        "fail?times=1&lost=1&method=POST&path=uploadId",
    ] {
        server.control(fault).await;
        let mut writing = begin(&archive).await;
        for piece in all.chunks(100_000) {
            writing.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writing.finish().await.unwrap();
        finish(&archive, all.len()).await;
        assert_eq!(whole(&archive, 0).await.unwrap(), all, "{fault}");
        archive.remove("r-1").await.unwrap();
    }
    assert_eq!(server.count(&["POST", "uploads", "503"]).await, 2);
    assert_eq!(server.count(&["PUT", "partNumber=3", "200"]).await, 3);

    // It cannot be sent: the upload is given up.
    server.control("fail?times=100&status=500&method=PUT&path=partNumber=2").await;
    let mut writing = begin(&archive).await;
    let error = writing.write(all.clone()).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("(5 tries)"), "{error}");
    writing.abandon().await;
    assert_eq!(server.count(&["DELETE", "uploadId", "204"]).await, 1);
    // One that a process left behind is given up when its build is begun again.
    server.control("fail?times=0").await;
    let mut writing = begin(&archive).await;
    writing.write(all.clone()).await.unwrap();
    drop(writing);
    archive.begin("r-1").await.unwrap();
    assert_eq!(server.count(&["DELETE", "uploadId", "204"]).await, 2);
}

#[tokio::test]
async fn what_builds_left_outlives_their_master_in_a_bucket() {
    const LARGE: usize = PART + 100_000;
    let Some(server) = S3::start() else { return };
    let master = master(LARGE).await;
    let directory = tempfile::tempdir().unwrap();
    let world =
        World::with_this_archive(directory, masters_at(&master.url), server.archive("builds"))
            .await;
    let id = ran(&world).await;
    // The large artefact breaks off, each time that it is tried.
    server.control("fail?times=1000&cut=1000&method=PUT&path=partNumber=2").await;
    let mut options = options();
    // Nobody else leads: a slow machine need not hurry.
    options.lease.give_up = Duration::from_secs(20);
    options.lease.still = Duration::from_secs(30);
    let leader = tokio::spawn(run_triggers(Arc::clone(&world.service), "one".to_owned(), options));
    let path = format!("/v1/builds/{id}/artifacts");
    let state = async || world.get(&path, READER).await.ok();
    until("a try that fails", async || state().await["archive"]["tries"] == 1).await;
    let listed = state().await;
    assert_eq!(listed["is_archived"], false);
    assert_eq!(listed["archive"]["state"], "due");
    let error = listed["archive"]["error"].as_str().unwrap();
    assert!(error.contains("cannot write a part of an object now: "), "{error}");
    assert_eq!(server.count(&["DELETE", "uploadId", "204"]).await, 1);
    server.control("fail?times=0").await;
    // As if the pause were over.
    let mut row = world.service.store.archive(&id).await.unwrap().unwrap();
    row.next_ms = 0;
    world.service.store.archive_tried(&row).await.unwrap();
    until("the archive", async || state().await["archive"]["state"] == "done").await;
    leader.abort();
    let _ = leader.await;

    let asked = master.requests().len();
    read_without_its_master(&world, &id, Some(LARGE as u64)).await;
    // Somebody changes it: it is not given whole.
    server.control("spoil?path=/1").await;
    assert!(artifact(&world, &id, 1).await.bytes().await.is_err());
    server.control("spoil?path=").await;
    assert_eq!(master.requests().len(), asked);
    // Where the archive does not answer it is the master's word.
    server.control("fail?times=1000&status=503&method=GET").await;
    assert_eq!(state().await["is_archived"], false);
    assert!(master.requests().len() > asked);
    server.control("fail?times=0").await;
    goes_after_its_time(&world, &id).await;
    let path = format!("/{id}/1?");
    let deleted = async || server.count(&["DELETE", &path, "204"]).await;
    // The upload that broke off, and the object.
    assert_eq!(deleted().await, 2);
    let archive = world.service.archive.as_deref().unwrap();
    // All of its objects are gone: there is no page of them.
    archive.remove(&id).await.unwrap();
    assert_eq!(deleted().await, 2);
}

#[test]
fn what_is_wrong_with_the_file_is_told_at_once() {
    let wrong = "api: pilotfish/v1\nkind: archive\ns3: {endpoint: 'https://s3.example.com', bucket: a.b, \
        prefix: a/../b, addressing: virtual-host, secret_key_file: none}\n";
    let mut all = vec![ArchiveFile::read("archive.yaml", wrong).unwrap_err().to_string()];
    let misspelt = "api: pilotfish/v1\nkind: archive\ns3: {endpoint: 's3.example.com?x', buckett: b, \
        addressing: host}\n";
    all.push(ArchiveFile::read("archive.yaml", misspelt).unwrap_err().to_string());
    let unread = "api: pilotfish/v1\nkind: archive\ns3: {endpoint: 'http://127.0.0.1', bucket: builds, \
        addressing: virtual-host, access_key_file: none, secret_key_file: nothing, ca_files: [no.pem]}\n";
    let file = ArchiveFile::read("archive.yaml", unread).unwrap();
    all.push(Bucket::of("archive.yaml", &file.s3, Path::new("/nowhere")).unwrap_err().to_string());
    insta::assert_snapshot!(all.join("\n"));
    let example = include_str!("../../../examples/archive.yaml");
    let file = ArchiveFile::read("example", example).unwrap();
    assert_eq!(file.s3.prefix, "pilotfish");
}
