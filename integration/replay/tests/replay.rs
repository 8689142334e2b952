//! Every recording against the real agent, all at once, each in a namespace of its own.

use std::collections::HashSet;

use pilotfish_replay::session::Settings;
use pilotfish_replay::{namespace, replay, setup};

#[tokio::test]
async fn the_agent_passes_every_recording() {
    if let Err(reason) = namespace::is_possible() {
        // Without this a machine that can do it would pass without having tried.
        assert!(std::env::var_os("CI").is_none(), "cannot replay: {reason}");
        println!("SKIPPED: {reason}");
        return;
    }
    let (chains, options) = setup::all(None, Settings::default()).unwrap();
    assert!(!chains.is_empty(), "no recordings");
    let runs = chains.iter().map(|chain| replay::chain(chain, &options));
    let reports = futures_util::future::join_all(runs).await.concat();
    for report in &reports {
        println!("{}", report.to_string().trim_end());
    }
    let bad: Vec<&str> = reports
        .iter()
        .filter(|report| !report.is_ok())
        .map(|report| report.name.as_str())
        .collect();
    assert!(bad.is_empty(), "the agent fails {bad:?}; what differs stands above");
    let refused: HashSet<&str> =
        reports.iter().flat_map(|report| &report.refused).map(String::as_str).collect();
    for line in options.needs_jvm.lines() {
        assert!(
            refused.contains(line.class.as_str()),
            "{} is asked for by no recording: take it off needs-jvm.txt",
            line.class
        );
    }
}
