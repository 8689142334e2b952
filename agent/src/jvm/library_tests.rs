//! The library over HTTP and from a file; over the channel it is tested with a real controller.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::super::class_file::tests::library;
use super::*;

/// Serves one answer a connection, in order; the URL of its root.
fn serve(answers: Vec<(u16, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ci/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /ci/jnlpJars/remoting.jar HTTP/1.1\r\n"));
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

async fn fetch(url: &str, wanted: Option<JarChecksum>, cache: &Cache) -> Result<Library, String> {
    let url = format!("{url}jnlpJars/remoting.jar");
    over_http(&url, &DownloadOptions::default(), wanted, cache).await
}

#[tokio::test]
async fn what_the_controller_serves_is_kept_under_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path()).unwrap();
    let jar = library(65);
    let digest = Digest::of(&jar);
    let url = serve(vec![(200, jar.clone()), (200, jar)]);
    let found = fetch(&url, Some(digest.checksum()), &cache).await.unwrap();
    assert_eq!((found.java, found.digest), (21, digest));
    assert_eq!(cache.jar_named(KIND, digest.checksum()), Some((found.path.clone(), digest)));
    // The controller may not say which one it has.
    assert_eq!(fetch(&url, None, &cache).await.unwrap(), found);
}

#[tokio::test]
async fn anything_else_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path()).unwrap();
    let other = Digest::of(b"other").checksum();
    let url = serve(vec![
        (200, b"<html>Please log in</html>".to_vec()),
        (404, Vec::new()),
        (200, library(61)),
    ]);
    for expected in ["no remoting library", "404", "another version"] {
        let problem = fetch(&url, Some(other), &cache).await.unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
    let kept = std::fs::read_dir(directory.path().join("jvm")).unwrap().count();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn a_copy_on_the_machine_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path()).unwrap();
    let copy = directory.path().join("agent.jar");
    std::fs::write(&copy, library(55)).unwrap();
    assert_eq!(from_file(copy.clone(), &cache).await.unwrap().java, 11);
    std::fs::remove_file(&copy).unwrap();
    let problem = from_file(copy, &cache).await.unwrap_err();
    assert!(problem.contains("JENKINS_AGENT_FILE"), "{problem}");
}
