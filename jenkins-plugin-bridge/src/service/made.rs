//! Plans that were made of one catalog: the same question has the same answer, byte for byte, so it is
//! worked out once. A build that runs every hour asks the same question every hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::plans::BindingReport;
use super::state::StoredPlan;

/// The most answers of a generation; there are two generations.
const ANSWERS: usize = 500;
/// The most bytes of plans, as JSON, of a generation.
const BYTES: usize = 16 << 20;

/// A plan, and how its job came to it.
pub(super) type Made = (Arc<StoredPlan>, Option<BindingReport>);

/// Answers by the digest of their question. What was asked for since the last but one full generation
/// is there; what nobody asked for in that time is gone.
#[derive(Debug)]
pub(super) struct MadePlans {
    generations: Mutex<Generations>,
    answers: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Made>,
    bytes: usize,
    old: HashMap<String, Made>,
}

impl Default for MadePlans {
    fn default() -> Self {
        Self::bounded(ANSWERS, BYTES)
    }
}

impl MadePlans {
    fn bounded(answers: usize, bytes: usize) -> Self {
        Self { generations: Mutex::default(), answers, bytes }
    }

    /// The answer to a question, if it was given before.
    pub(super) fn get(&self, question: &str) -> Option<Made> {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = all.young.get(question) {
            return Some(made.clone());
        }
        let (question, made) = all.old.remove_entry(question)?;
        self.put(&mut all, question, made.clone());
        Some(made)
    }

    /// Keeps an answer. One that would take a good part of the room alone is not kept.
    pub(super) fn keep(&self, question: String, made: Made) {
        if made.0.text.len() <= self.bytes / 16 {
            let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            self.put(&mut all, question, made);
        }
    }

    fn put(&self, all: &mut Generations, question: String, made: Made) {
        let size = made.0.text.len();
        if all.young.len() >= self.answers || all.bytes + size > self.bytes {
            all.old = std::mem::take(&mut all.young);
            all.bytes = 0;
        }
        match all.young.insert(question, made) {
            // Two that asked the same at the same time.
            Some(before) => all.bytes = all.bytes + size - before.0.text.len(),
            None => all.bytes += size,
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::catalog::{Catalog, shipped};
    use crate::plan::{PlanRequest, Prepared, Selection};

    fn plan(name: &str, text_bytes: usize) -> Made {
        let catalog = Catalog::from_files(&shipped::files()).unwrap();
        let selection = Selection::default();
        let prepared = Prepared::new(&catalog, "library", &selection).unwrap();
        let parameters = [("repository".to_owned(), "https://g.example.com/a.git".into())];
        let parameters = parameters.into_iter().collect();
        let request = PlanRequest { parameters, ..PlanRequest::default() };
        let plan = prepared.plan(&request).unwrap();
        let stored = StoredPlan {
            digest: name.to_owned(),
            controller: String::new(),
            text: "x".repeat(text_bytes),
            plan,
        };
        (Arc::new(stored), None)
    }

    #[test]
    fn what_is_asked_for_stays_and_the_number_is_bounded() {
        let all = MadePlans::bounded(2, 1_000_000);
        let made = plan("p", 10);
        all.keep("often".to_owned(), made.clone());
        for number in 0..20 {
            all.keep(format!("q{number}"), made.clone());
            assert!(all.get("often").is_some(), "after {number}");
        }
        assert!(all.get("q0").is_none(), "nobody asked again");
        let kept = all.generations.lock().unwrap();
        assert!(kept.young.len() <= 2 && kept.old.len() <= 2);
    }

    #[test]
    fn bytes_are_bounded() {
        let all = MadePlans::bounded(1_000, 1_600);
        all.keep("large".to_owned(), plan("large", 101));
        assert!(all.get("large").is_none(), "a sixteenth is the most of one plan");
        let made = plan("p", 100);
        for number in 0..50 {
            all.keep(format!("q{number}"), made.clone());
            // The same again takes no more room.
            all.keep(format!("q{number}"), made.clone());
        }
        let kept = all.generations.lock().unwrap();
        let bytes: usize = kept.young.values().map(|one| one.0.text.len()).sum();
        assert_eq!(bytes, kept.bytes);
        assert!(bytes <= 1_600 && kept.old.len() <= 16, "{bytes}, {}", kept.old.len());
    }
}
