//! The readiness probe.

use jenkins_remoting::transport::{ProbeError, Recovery, probe};

use super::support::{Controller, Reply, header, page};

#[tokio::test]
async fn ready_is_200_from_login() {
    let controller = Controller::start(|_| page("200 OK", &"x".repeat(1 << 20))).await;
    let mut options = controller.options();
    options.headers = vec![("X-Token".into(), "t".into())];
    probe(&options).await.unwrap();
    let head = controller.heads().remove(0);
    assert!(head.starts_with("GET /jenkins/login HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "X-Token").as_deref(), Some("t"));
    assert_eq!(header(&head, "Secret-Key"), None);
}

#[tokio::test]
async fn starting_is_not_ready() {
    let controller =
        Controller::start(|_| page("503 Service Unavailable", "<title>Starting Jenkins</title>"))
            .await;
    let error = probe(&controller.options()).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(error.recovery(), Recovery::Retry);
    let expected =
        format!("http://{}/jenkins/login is not ready: 503: Starting Jenkins", controller.address);
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn redirects_are_followed_and_extra_headers_stay_home() {
    let other = Controller::start(|_| page("200 OK", "")).await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: http://{}/x?y\r\n\r\n", other.address);
    let controller = Controller::start(move |head| {
        if head.starts_with("GET /jenkins/login ") {
            Reply::Raw("HTTP/1.1 301 Moved\r\nLocation: ../login/\r\n\r\n".into())
        } else {
            Reply::Raw(to.clone())
        }
    })
    .await;
    let mut options = controller.options();
    options.headers = vec![("X-Token".into(), "t".into())];
    probe(&options).await.unwrap();
    assert!(controller.heads()[1].starts_with("GET /login/ "));
    let head = other.heads().remove(0);
    assert!(head.starts_with("GET /x?y "), "{head}");
    assert_eq!(header(&head, "X-Token"), None);
}

#[tokio::test]
async fn circles_and_bad_targets_end() {
    for location in ["login", "ftp://c/", "http://"] {
        let answer =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let controller = Controller::start(move |_| Reply::Raw(answer.clone())).await;
        let error = probe(&controller.options()).await.unwrap_err();
        assert!(matches!(error, ProbeError::Redirect { .. }), "{error:?}");
        assert!(controller.heads().len() <= 21);
    }
}
