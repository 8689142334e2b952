//! The controller's I/O that is with the child and not complete: requests answered on this side must
//! wait for it too.
//!
//! A chunk is complete once the child acknowledges it. For what is not acknowledged, flushes and ends
//! of streams, the child is sent a request of our own that names the last of it, as any request names the
//! I/O before it: the answer comes when all up to there is complete. That is done when somebody waits.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::channel::Taken;

/// With so many entries, the child is asked even if nobody waits, so that their number stays bounded.
const MANY: usize = 4096;

#[derive(Default)]
pub(crate) struct Barrier {
    /// In the order in which they went to the child.
    entries: BTreeMap<u64, Entry>,
    /// The entries with data, by the child's oid.
    data: HashMap<i32, VecDeque<u64>>,
    next: u64,
    /// What the question under way asks for.
    asked: Option<u64>,
    wanted: bool,
}

struct Entry {
    io: i32,
    oid: i32,
    taken: Taken,
}

/// A question to be sent: which I/O to name, and up to which entry its answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) io: i32,
    pub(crate) up_to: u64,
}

impl Barrier {
    /// An I/O goes to the child.
    pub(crate) fn sent(&mut self, io: i32, oid: i32, taken: Taken) -> Option<Question> {
        let number = self.next;
        self.next += 1;
        if taken != Taken::default() {
            self.data.entry(oid).or_default().push_back(number);
        }
        self.entries.insert(number, Entry { io, oid, taken });
        (self.entries.len() > MANY).then(|| self.ask()).flatten()
    }

    /// The child has taken a chunk of a stream, in the order of the stream. Which I/O that completes.
    pub(crate) fn acknowledged(&mut self, oid: i32) -> Option<i32> {
        let numbers = self.data.get_mut(&oid)?;
        let number = numbers.pop_front();
        if numbers.is_empty() {
            self.data.remove(&oid);
        }
        self.entries.remove(&number?).map(|entry| entry.io)
    }

    /// Somebody waits. What to ask the child, unless it is asked already.
    pub(crate) fn ask(&mut self) -> Option<Question> {
        let (&up_to, last) = self.entries.last_key_value()?;
        if self.asked.is_some() {
            self.wanted = true;
            return None;
        }
        self.asked = Some(up_to);
        Some(Question { io: last.io, up_to })
    }

    /// The child has answered: which I/O is complete, and what to ask next.
    pub(crate) fn answered(&mut self, up_to: u64) -> (Vec<i32>, Option<Question>) {
        self.asked = None;
        let later = self.entries.split_off(&(up_to + 1));
        let complete = std::mem::replace(&mut self.entries, later);
        self.data.retain(|_, numbers| {
            numbers.retain(|number| *number > up_to);
            !numbers.is_empty()
        });
        let next = std::mem::take(&mut self.wanted).then(|| self.ask()).flatten();
        (complete.into_values().map(|entry| entry.io).collect(), next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The child is gone: the I/O that it held, and what its streams have not acknowledged.
    pub(crate) fn abandon(self) -> (Vec<i32>, HashMap<i32, Taken>) {
        let mut unacknowledged = HashMap::<i32, Taken>::new();
        for entry in self.entries.values().filter(|entry| entry.taken != Taken::default()) {
            let sum = unacknowledged.entry(entry.oid).or_default();
            sum.bytes += entry.taken.bytes;
            sum.units += entry.taken.units;
        }
        (self.entries.into_values().map(|entry| entry.io).collect(), unacknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: Taken = Taken { bytes: 10, units: 0 };

    #[test]
    fn acknowledgements_complete_the_chunks_of_their_stream_in_order() {
        let mut barrier = Barrier::default();
        for (io, oid) in [(1, 7), (2, 8), (3, 7)] {
            assert_eq!(barrier.sent(io, oid, CHUNK), None);
        }
        assert_eq!(barrier.acknowledged(9), None);
        assert_eq!(barrier.acknowledged(7), Some(1));
        assert_eq!(barrier.acknowledged(8), Some(2));
        assert_eq!(barrier.acknowledged(7), Some(3));
        assert_eq!(barrier.acknowledged(7), None);
        assert!(barrier.is_empty() && barrier.ask().is_none());
    }

    #[test]
    fn one_question_at_a_time_covers_what_went_before_it() {
        let mut barrier = Barrier::default();
        let nothing = Taken::default();
        barrier.sent(1, 7, CHUNK);
        barrier.sent(2, 7, nothing);
        let question = barrier.ask().unwrap();
        assert_eq!(question.io, 2);
        barrier.sent(3, 7, nothing);
        assert_eq!(barrier.ask(), None);
        assert_eq!(barrier.acknowledged(7), Some(1));
        let (complete, next) = barrier.answered(question.up_to);
        assert_eq!(complete, [2]);
        let next = next.expect("somebody waits for the third");
        assert_eq!(next.io, 3);
        assert_eq!(barrier.answered(next.up_to), (vec![3], None));
        assert!(barrier.is_empty());
    }

    #[test]
    fn the_end_of_the_child_completes_all_and_tells_what_is_unacknowledged() {
        let mut barrier = Barrier::default();
        barrier.sent(1, 7, CHUNK);
        barrier.sent(2, 7, CHUNK);
        barrier.sent(3, 8, Taken { bytes: 0, units: 5 });
        barrier.sent(4, 8, Taken::default());
        barrier.acknowledged(7);
        let (ios, unacknowledged) = barrier.abandon();
        assert_eq!(ios, [2, 3, 4]);
        let expected = [(7, CHUNK), (8, Taken { bytes: 0, units: 5 })];
        assert_eq!(unacknowledged, HashMap::from(expected));
    }

    #[test]
    fn many_entries_are_asked_for_without_anybody_waiting() {
        let mut barrier = Barrier::default();
        let asked = (0..MANY + 1).filter_map(|_| barrier.sent(5, 7, Taken::default())).count();
        assert_eq!(asked, 1);
    }
}
