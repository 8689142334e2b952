//! What is left to do when a child is gone: nobody may be left waiting for it, on either side.

use std::sync::Arc;

use super::Relay;
use super::ledger::{Brought, Leftover};
use super::state::{After, Unanswered};
use crate::channel::{Channel, Inner, IoScope, Taken, Throwable};
use crate::command::Outgoing;

impl Inner {
    pub(crate) fn clean_up(self: &Arc<Self>, relay: &Relay, why: &str, after: After) {
        let left = relay.gone(why, after);
        let (ios, unacknowledged) = left.barrier.abandon();
        for io in ios {
            self.order.complete(io);
        }
        // Those who write to the child fail, instead of waiting for their windows.
        for (oid, taken) in unacknowledged {
            if taken.bytes > 0 {
                self.refuse_rest(oid, Taken { units: 0, ..taken });
            }
            if taken.units > 0 {
                self.refuse_rest(oid, Taken { bytes: 0, ..taken });
            }
        }
        let (leftovers, calls) = left.ledger.leftovers();
        let scope = IoScope::new();
        for Leftover { brought, mentions, request } in leftovers {
            // What an answered request brought is given back without a word, as by a JVM that has
            // collected it. What was still in use is broken off.
            let in_use = request.is_none_or(|id| left.held.contains_key(&id));
            let broken_off = in_use.then_some((&scope, why));
            self.give_back_brought(brought, mentions, broken_off);
        }
        for id in calls {
            self.post(Outgoing::Cancel { id });
        }
        let last_io = scope.last();
        let mut held: Vec<_> = left.held.into_iter().collect();
        held.sort_unstable_by_key(|(id, _)| *id);
        for (id, held) in held {
            relay.statistics.failed(&held.class);
            let why = relay.explain(&held.class, why);
            self.unanswered(id, held, Unanswered { why, last_io });
        }
        relay.alive.send_replace(false);
    }

    fn refuse_rest(&self, oid: i32, taken: Taken) {
        self.notify_dead(oid, taken);
        self.give_back(oid, taken);
    }

    /// Gives back what a request brought along; `broken_off` says why the controller is to take a stream
    /// for broken, and whose I/O that is.
    pub(crate) fn give_back_brought(
        self: &Arc<Self>,
        brought: Brought,
        mentions: u32,
        broken_off: Option<(&IoScope, &str)>,
    ) {
        let io = |command: &dyn Fn(i32) -> Outgoing| {
            let scope = broken_off.map(|(scope, _)| scope);
            // Fails when the channel has ended: then nothing is to be given back.
            let _ = self.send_io(None, scope, command);
        };
        let error = |why: &str| Throwable::io(why).into_datum();
        for _ in 0..mentions {
            match (brought, broken_off) {
                (Brought::Sink(oid), None) => io(&|io| Outgoing::StreamUnexport { io, oid }),
                (Brought::Sink(oid), Some((_, why))) => {
                    io(&|io| Outgoing::Eof { io, oid, request: 0, error: error(why) });
                }
                // Who reads the pipe waits for its end, whatever became of the request.
                (Brought::PipeSink(oid), broken_off) => {
                    let why =
                        broken_off.map_or("the writing end of the pipe is gone", |(_, why)| why);
                    io(&|io| Outgoing::Eof { io, oid, request: 0, error: error(why) });
                }
                (Brought::CharacterSink(oid), None) => {
                    io(&|io| Outgoing::WriterUnexport { io, oid });
                }
                (Brought::CharacterSink(oid), Some(_)) => io(&|io| Outgoing::WriterEof { io, oid }),
                // Connected to nothing, so that its writer fails.
                (Brought::PipeSource(oid), _) => {
                    drop(Channel { inner: Arc::clone(self) }.connect_pipe(oid));
                }
                (Brought::Source(oid), _) => self.post(Outgoing::InputEof { oid }),
                (Brought::Proxy(oid), _) => self.post(Outgoing::Unexport { oid }),
            }
        }
    }
}
