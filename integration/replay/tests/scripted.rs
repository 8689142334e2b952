//! The replayer on itself: the recorded agent passes every recording.

mod common;

use common::{SETTINGS, against_scripted, plan};
use pilotfish_replay::scripted::Alterations;
use pilotfish_replay::setup;

#[tokio::test]
async fn the_recorded_agent_passes_every_recording() {
    let mut bad = String::new();
    let mut count = 0;
    for chain in setup::chains().unwrap() {
        for recording in &chain.parts {
            let report =
                against_scripted(recording, &plan(recording), &Alterations::new(), SETTINGS).await;
            println!("{report}");
            count += 1;
            if !report.is_ok() {
                bad.push_str(&report.to_string());
            }
            // An answer that is never compared is never wrong.
            assert!(
                report.compared >= recording.entries.len() / 8 || report.compared >= 20,
                "{}",
                recording.name
            );
        }
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(count > 0, "no recordings");
}
