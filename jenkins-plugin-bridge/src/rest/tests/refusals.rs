//! What a controller, or something in front of it, may answer instead.

use super::*;

async fn error_of(reply: Reply) -> (RestError, usize) {
    let stub = Stub::start(move |_| reply.clone()).await;
    let error = read(&client(&stub), &["team-a"]).await.unwrap_err();
    (error, stub.requests().len())
}

#[tokio::test]
async fn refusals_say_what_to_do_and_are_not_repeated() {
    let page = recording(8).reply.body;
    let cases = [
        (recording(9).reply, "Make a new API token"),
        (recording(8).reply, "folders first"),
        (recording(10).reply, "it needs the permission hudson.model.Item.Build"),
        (
            Reply::assumed("a login page of a proxy, e.g. oauth2-proxy", 200, &HTML, &page),
            "answered HTML in place of JSON, titled `Not Found - Jenkins`",
        ),
        (
            Reply::assumed(
                "hudson.security.SecurityRealm: /securityRealm/commenceLogin",
                302,
                &[("Location", "https://sso.example.com/login?state=s3cret")],
                "",
            ),
            "redirects to https://sso.example.com/login.",
        ),
        (recording(25).reply, "answered 500: Jenkins - Jenkins"),
    ];
    for (reply, words) in cases {
        let (error, requests) = error_of(reply).await;
        let text = error.to_string();
        assert!(text.contains(words), "{text}");
        assert!(
            !text.contains(TOKEN) && !text.contains("s3cret") && !text.contains('\n'),
            "{text}"
        );
        assert_eq!(requests, 1, "{text}");
    }
}

#[tokio::test]
async fn trouble_that_may_pass_is_waited_for_and_then_reported() {
    let loading = || {
        let page = "<title>Starting Jenkins</title>";
        Reply::assumed("hudson.util.HudsonIsLoading.doDynamic", 503, &HTML, page)
    };
    let many = || {
        Reply::assumed("a proxy's limit; nginx.limit_req_status", 429, &HTML, "")
            .with_header("Retry-After", "0")
    };
    let cut = || Reply { is_cut: true, ..recording(5).reply };
    let patient =
        Reply::assumed("a proxy's limit; RFC 9110, 10.2.3", 429, &[("Retry-After", "9999")], "");
    for (reply, requests, words) in [
        (loading(), 5, "is not ready (503), also after 5 tries: Starting Jenkins"),
        (many(), 5, "fewer requests (429), also after 5 tries (it asks to wait 0 s)"),
        (patient, 1, "it asks to wait 9999 s"),
        (cut(), 5, "5 tries"),
    ] {
        let (error, made) = error_of(reply).await;
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(made, requests, "{error}");
    }
    // The same trouble, twice only.
    for trouble in [loading(), many(), cut()] {
        let count = AtomicUsize::new(0);
        let job = recording(17);
        let stub = Stub::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => trouble.clone(),
            _ => job.cut(request.tree.as_deref()),
        })
        .await;
        let client = client(&stub);
        assert_eq!(read(&client, &["team-a/web"]).await.unwrap().jobs.len(), 1);
        assert_eq!(client.counts().1, 2);
    }
}

#[tokio::test]
async fn json_that_is_none_is_refused() {
    for body in ["", "{", "[]", "{\"jobs\":[{}]}", &"[".repeat(100_000)] {
        let (error, _) = error_of(recording(5).reply.with_body(body)).await;
        assert!(matches!(error, RestError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("Nothing of it was used"));
    }
}

#[tokio::test]
async fn nobody_who_is_no_jenkins_is_read() {
    let stub = Stub::start(|_| {
        let json = [("Content-Type", "application/json")];
        Reply::assumed("any other server, e.g. a health check", 200, &json, "{\"ok\":true}")
    })
    .await;
    let error = client(&stub).version().await.unwrap_err();
    assert!(matches!(error, RestError::NotJenkins { .. }), "{error}");
    let stub = Stub::recorded(&[5]).await;
    assert_eq!(client(&stub).version().await.unwrap(), "2.568.2");
}

#[tokio::test]
async fn a_controller_that_never_answers_is_given_up() {
    let stub = Stub::start(|_| Reply { hangs: true, ..recording(5).reply }).await;
    let client = client_with(&stub, |options| {
        options.timeout = Duration::from_millis(50);
        options.retry.tries = 2;
    });
    let error = read(&client, &["f"]).await.unwrap_err();
    assert!(matches!(error, RestError::Slow { tries: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_may_not_be_read_leaves_a_note() {
    let folder = many("f", 1, credential_parameter);
    let refused = recording(10).reply;
    let stub = Stub::start(move |request| {
        if request.path.ends_with("config.xml") {
            refused.clone()
        } else {
            folder_reply(request, &folder)
        }
    })
    .await;
    let inventory = read(&client(&stub), &["f"]).await.unwrap();
    assert_eq!(
        inventory.jobs[0].notes,
        ["details of CRED are not read: config.xml needs the permission Job/ExtendedRead"]
    );
}

#[tokio::test]
async fn answers_about_other_jobs_are_not_taken_and_not_asked_for_again() {
    let folder = many("elsewhere", 3, text_parameter);
    let other = folder["jobs"][0].clone();
    let stub = Stub::start(move |request| {
        let whole = if request.path.contains("job-") { &other } else { &folder };
        recording(5).reply.with_json(&prune(whole, request.tree.as_deref().unwrap()))
    })
    .await;
    let inventory = read(&client(&stub), &["f"]).await.unwrap();
    assert!(inventory.jobs.is_empty());
    assert_eq!(inventory.skipped.len(), 3, "{:?}", inventory.skipped);
}

#[tokio::test]
async fn a_failed_reading_gives_and_keeps_nothing() {
    let folder = many("f", 6, credential_parameter);
    let page = recording(8).reply.body;
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/job/f/job/job-5/config.xml" => {
            Reply::assumed("a login page of a proxy, e.g. oauth2-proxy", 200, &HTML, &page)
        }
        _ => folder_reply(request, &folder),
    })
    .await;
    let (_guard, directory) = cache_directory();
    let client = client(&stub);
    let mut cache = Cache::open(&directory, client.base(), client.user()).unwrap();
    let options = ReadOptions::default();
    let error = read_with(&client, &["f"], &mut cache, &options).await.unwrap_err();
    assert!(error.to_string().contains("in place of XML"), "{error}");
    assert!(cache.get("f/job-0").is_none());
}

#[tokio::test]
async fn a_job_that_the_controller_cannot_show_hides_no_other() {
    let folder = many("f", 9, credential_parameter);
    let broken = recording(25).reply;
    let stub = Stub::start(move |request| {
        // The status of recording 25, for a job whose plugin throws while it is exported, and for
        // one whose file cannot be written out.
        let shows_it = |tree: &str| {
            let range = tree.rsplit_once('{').and_then(|(_, range)| {
                let (from, to) = range.strip_suffix('}')?.split_once(',')?;
                Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
            });
            range.is_some_and(|(from, to)| from <= 4 && 4 < to && tree.starts_with("jobs["))
        };
        let tree = request.tree.as_deref().unwrap_or_default();
        if shows_it(tree)
            || request.path.ends_with("/job-4/api/json")
            || request.path.ends_with("/job-7/config.xml")
        {
            return broken.clone();
        }
        folder_reply(request, &folder)
    })
    .await;
    let inventory = read(&client(&stub), &["f"]).await.unwrap();
    assert_eq!(inventory.jobs.len(), 8);
    assert_eq!(inventory.skipped.len(), 1, "{:?}", inventory.skipped);
    assert!(inventory.skipped["f/job-4"].contains("answered 500"), "{:?}", inventory.skipped);
    let job = inventory.jobs.iter().find(|job| job.name == "f/job-7").unwrap();
    assert!(job.notes[0].contains("details of CRED are not read"), "{:?}", job.notes);
}
