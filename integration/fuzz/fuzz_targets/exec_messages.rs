//! Any bytes as messages between the agent and a container: what is read is the same when written and read
//! again, and an error repeats nothing of what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pilotfish_exec::{decode_answer, decode_request};

fuzz_target!(|bytes: &[u8]| {
    match decode_request(bytes) {
        Ok(request) => {
            let written = serde_json::to_vec(&request).expect("what was read can be written");
            assert_eq!(decode_request(&written), Ok(request));
        }
        Err(problem) => is_harmless(&problem),
    }
    match decode_answer(bytes) {
        Ok(answer) => {
            let written = serde_json::to_vec(&answer).expect("what was read can be written");
            assert_eq!(decode_answer(&written), Ok(answer));
        }
        Err(problem) => is_harmless(&problem),
    }
});

/// Letters, figures and what stands between them: a fixed sentence and two numbers.
fn is_harmless(problem: &str) {
    assert!(problem.starts_with("a message ") && problem.len() < 100, "{problem}");
}
