//! An archive in a directory. Those in a bucket are tried with a server, by the tests of the service.

use super::*;

async fn put(draft: &Draft, object: Object, bytes: &[u8]) {
    let mut writing = draft.write(object).await.unwrap();
    writing.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    writing.finish().await.unwrap();
}

/// What any place does.
pub async fn a_build_is_put_read_and_removed(archive: &Archive) {
    archive.check().await.unwrap();
    let good = [Some("ok"), Some(""), None].map(|content| KeptArtifact {
        path: "../../etc/passwd".to_owned(),
        bytes: content.map(|content| content.len() as u64),
        sha256: content.map(|content| hex(&Sha256::digest(content))),
    });
    let kept = Kept { attempt: 2, artifacts: good.to_vec(), ..Kept::default() };
    let log = vec![b'x'; 1_500_000];
    let tests = TestReport { pass_count: 3, ..TestReport::default() };
    // A try that came to nothing.
    put(&archive.begin("r-1").await.unwrap(), Object::Log, b"half").await;
    let mut writing = archive.begin("r-1").await.unwrap().write(Object::Artifact(1)).await.unwrap();
    writing.write(Bytes::from_static(b"begun")).await.unwrap();
    writing.abandon().await;
    let draft = archive.begin("r-1").await.unwrap();
    draft.tests(&tests).await.unwrap();
    put(&draft, Object::Artifact(0), b"ok").await;
    put(&draft, Object::Artifact(1), b"").await;
    put(&draft, Object::Log, &log).await;
    assert_eq!(archive.kept("r-1").await.unwrap(), None, "not before it is complete");
    assert!(archive.artifact("r-1", 0).await.unwrap().is_none());
    draft.finish(&kept).await.unwrap();
    assert_eq!(archive.kept("r-1").await.unwrap(), Some(kept));
    assert_eq!(archive.tests("r-1").await.unwrap(), Some(tests));
    assert_eq!(archive.tests("r-2").await.unwrap(), None);
    for (number, text) in [(0, "ok"), (1, "")] {
        let read = archive.artifact("r-1", number).await.unwrap().unwrap();
        assert_eq!(read.size, text.len() as u64);
        assert_eq!(whole(read.pieces).await.unwrap(), text.as_bytes());
    }
    for number in [2, 3] {
        assert!(archive.artifact("r-1", number).await.unwrap().is_none(), "{number}");
    }
    let (first, next, more) = archive.log("r-1", 10).await.unwrap().unwrap();
    assert_eq!((first.len(), next, more), (1 << 20, 10 + (1 << 20), true));
    let (rest, next, more) = archive.log("r-1", next).await.unwrap().unwrap();
    assert_eq!((first.len() + rest.len() + 10, next, more), (1_500_000, 1_500_000, false));
    let beyond = archive.log("r-1", 2_000_000).await.unwrap().unwrap();
    assert_eq!(beyond, (Vec::new(), 2_000_000, false));
    assert_eq!(archive.log("r-2", 0).await.unwrap(), None);
    // A build may have said nothing at all.
    let silent = archive.begin("r-3").await.unwrap();
    put(&silent, Object::Log, b"").await;
    silent.finish(&Kept::default()).await.unwrap();
    assert_eq!(archive.log("r-3", 0).await.unwrap(), Some((Vec::new(), 0, false)));
    archive.remove("r-3").await.unwrap();
    // Of a process that died.
    let _ = archive.begin("r-1").await.unwrap().write(Object::Log).await.unwrap();
    archive.remove("r-1").await.unwrap();
    archive.remove("r-1").await.unwrap();
    assert_eq!(archive.kept("r-1").await.unwrap(), None);
    for bad in ["", "..", "a/b", &"x".repeat(65)] {
        assert!(archive.remove(bad).await.is_err() && archive.kept(bad).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_directory_has_builds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let archive = Archive::open(&path, Duration::ZERO, 10).unwrap();
    a_build_is_put_read_and_removed(&archive).await;
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    // What is there already stays.
    for attempt in [1, 2] {
        let kept = Kept { attempt, ..Kept::default() };
        archive.begin("r-1").await.unwrap().finish(&kept).await.unwrap();
    }
    assert_eq!(archive.kept("r-1").await.unwrap().unwrap().attempt, 1);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "no directory").unwrap();
    let error = archive.check().await.unwrap_err();
    assert!(!error.is_passing() && error.to_string().starts_with("cannot write "), "{error}");
}

#[tokio::test]
async fn an_artefact_that_is_not_as_it_was_kept_is_not_given_whole() {
    let directory = tempfile::tempdir().unwrap();
    let archive = Archive::open(directory.path(), Duration::ZERO, 10).unwrap();
    let draft = archive.begin("r-1").await.unwrap();
    let bytes = vec![b'y'; 600_000];
    put(&draft, Object::Artifact(0), &bytes).await;
    let artifact = KeptArtifact {
        path: "y".to_owned(),
        bytes: Some(600_000),
        sha256: Some(hex(&Sha256::digest(&bytes))),
    };
    draft.finish(&Kept { artifacts: vec![artifact], ..Kept::default() }).await.unwrap();
    let file = directory.path().join("r-1/0");
    let read = async || match archive.artifact("r-1", 0).await {
        Ok(read) => whole(read.unwrap().pieces).await.map(|bytes| bytes.len()),
        Err(error) => Err(error),
    };
    assert_eq!(read().await.unwrap(), 600_000);
    let mut other = bytes.clone();
    other[7] = b'z';
    std::fs::write(&file, &other).unwrap();
    let error = read().await.unwrap_err().to_string();
    assert_eq!(error, "0 of the build r-1 is damaged: its digest is another one");
    std::fs::write(&file, &bytes[1..]).unwrap();
    let error = read().await.unwrap_err().to_string();
    assert!(error.ends_with("it has 599999 bytes, and 600000 were kept"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(read().await.unwrap_err().to_string().ends_with("it is gone"));
}
