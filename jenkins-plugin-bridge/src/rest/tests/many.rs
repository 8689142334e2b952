//! Many jobs: pages, what slips through them, and what is kept between readings.

use super::*;

#[tokio::test]
async fn a_page_that_takes_too_long_is_halved() {
    let folder = many("f", 8, text_parameter);
    let stub = Stub::start(move |request| {
        let tree = request.tree.clone().unwrap();
        let range = tree.rsplit_once('{').map_or("", |(_, range)| range);
        let slow = ["0,8}", "0,4}", "4,8}"].contains(&range);
        Reply { hangs: slow, ..folder_reply(request, &folder) }
    })
    .await;
    let client = client_with(&stub, |options| options.timeout = Duration::from_millis(300));
    let inventory = read(&client, &["f"]).await.unwrap();
    assert_eq!(inventory.jobs.len(), 8);
    assert_eq!(client.counts().1, 0, "what was too slow was divided, not repeated");
}

#[tokio::test]
async fn what_slips_from_page_to_page_is_read_by_itself() {
    let folder = many("f", 5, text_parameter);
    let whole = folder.clone();
    let stub = Stub::start(move |request| {
        if request.path.starts_with("/job/f/job/") {
            let name = request.path.split('/').nth(4).unwrap();
            let mut all = whole["jobs"].as_array().unwrap().iter();
            let job = all.find(|job| job["name"] == name).unwrap();
            return recording(5).reply.with_json(&prune(job, request.tree.as_deref().unwrap()));
        }
        let mut folder = folder.clone();
        if request.tree.as_deref().unwrap().contains('{') && !request.path.contains("job-") {
            // Between the list and the pages the first job went, and came back.
            folder["jobs"].as_array_mut().unwrap().remove(0);
        }
        folder_reply(request, &folder)
    })
    .await;
    let options = ReadOptions { page_size: 2, ..ReadOptions::default() };
    let client = client(&stub);
    let inventory = read_with(&client, &["f"], &mut Cache::none(), &options).await.unwrap();
    let names: Vec<&str> = inventory.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["f/job-0", "f/job-1", "f/job-2", "f/job-3", "f/job-4"]);
}

#[tokio::test]
async fn many_jobs_are_read_and_then_only_what_is_new() {
    // Ten thousand are measured by `benches/inspect.rs`.
    const JOBS: usize = 2_000;
    let folder = many("", JOBS, |at| match at % 10 {
        0 => credential_parameter(at),
        _ => text_parameter(at),
    });
    let stub = Stub::start(move |request| folder_reply(request, &folder)).await;
    let client = client_with(&stub, |options| options.concurrency = 8);
    let (_guard, directory) = cache_directory();
    let open = || Cache::open(&directory, client.base(), client.user()).unwrap();
    let mut options = ReadOptions { page_size: 100, ..ReadOptions::default() };

    let mut cache = open();
    let first = read_with(&client, &[], &mut cache, &options).await.unwrap();
    cache.save().unwrap();
    assert_eq!(first.jobs.len(), JOBS);
    assert_eq!(first.statistics.configs_read, JOBS / 10);
    assert!(stub.most_at_once() <= 8, "{}", stub.most_at_once());
    let credential = &first.jobs.iter().find(|job| job.name == "job-0").unwrap().parameters[0];
    assert_eq!(credential.kind.default_value(), Some(json!("tok")));

    let before = stub.requests().len();
    let mut cache = open();
    let again = read_with(&client, &[], &mut cache, &options).await.unwrap();
    assert_eq!(again.jobs, first.jobs);
    assert_eq!(again.statistics.configs_kept, JOBS / 10);
    assert_eq!(stub.requests().len() - before, 1 + JOBS / options.page_size);

    options.now = SystemTime::now() + options.max_age * 2;
    let late = read_with(&client, &[], &mut open(), &options).await.unwrap();
    assert_eq!(late.statistics.configs_read, JOBS / 10, "what is old is read again");
}

#[tokio::test]
async fn a_version_is_asked_for_where_the_server_names_one() {
    let folder = many("f", 1, credential_parameter);
    let stub = Stub::start(move |request| {
        if request.headers.get("if-none-match").is_some_and(|tag| tag == "\"7\"") {
            return Reply::assumed("a cache in front, RFC 9110, 15.4.5", 304, &[], "");
        }
        // Assumed: a cache in front adds the tag (RFC 9110, 8.8.3); Stapler itself gives none.
        folder_reply(request, &folder).with_header("ETag", "\"7\"")
    })
    .await;
    let client = client(&stub);
    let mut cache = Cache::none();
    let mut options = ReadOptions::default();
    let first = read_with(&client, &["f"], &mut cache, &options).await.unwrap();
    options.now += options.max_age * 2;
    let again = read_with(&client, &["f"], &mut cache, &options).await.unwrap();
    assert_eq!(again.statistics.configs_same, 1);
    assert_eq!(again.jobs, first.jobs);
}

#[test]
fn a_damaged_cache_is_an_empty_one() {
    let (_guard, directory) = cache_directory();
    let cache = Cache::open(&directory, "http://ci/", "a").unwrap();
    cache.save().unwrap();
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "{").unwrap();
    assert!(Cache::open(&directory, "http://ci/", "a").is_ok());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
}
