//! The life of a child: start, greeting, service, end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::greeting::Greeting;
use super::pumps::{Silence, pump_in, pump_out};
use super::state::After;
use super::{Child, MAX_GENERATIONS, NotStarted, Relay, RelayLimits, Start};
use crate::channel::{Channel, End, Inner};
use crate::command::Outgoing;

/// How long what a child said before it ended may take to be read: a process that it started may keep the
/// pipe open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a child that was killed may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// A child is looked after no more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

type Ended = Shared<BoxFuture<'static, String>>;

/// The end of a child.
struct Over {
    why: String,
    after: After,
}

/// Kills the child unless it is known to have ended.
struct Killer(Option<Box<dyn FnOnce() + Send>>);

/// What a running child was stopped by.
enum Stop {
    Ended,
    Silence(Silence),
    Deaf,
    Given(String),
    Channel,
}

impl Killer {
    fn kill(&mut self) {
        if let Some(kill) = self.0.take() {
            kill();
        }
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }

    /// Kills it and waits until it is gone.
    async fn kill_now(&mut self, ended: &Ended) {
        self.kill();
        if timeout(DEATH, ended.clone()).await.is_err() {
            tracing::warn!("the JVM was killed and has not ended yet");
        }
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Inner {
    /// Starts a child now, if there may be one and there is none.
    pub(crate) fn start_child(self: &Arc<Self>) {
        if self.relay.as_ref().is_some_and(Relay::claim_start) {
            self.spawn_child();
        }
    }

    /// Runs a child whose start is claimed.
    pub(crate) fn spawn_child(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        if let Some(relay) = &inner.relay {
            relay.alive.send_replace(true);
        }
        self.runtime.spawn(async move {
            let Some(relay) = &inner.relay else { return };
            let ended = inner.end.subscribe();
            let life = AssertUnwindSafe(inner.raise(relay, ended.clone())).catch_unwind().await;
            let Over { why, mut after } = life.unwrap_or_else(|_| {
                tracing::error!("a JVM made the agent panic; this is a bug");
                let why = "its JVM was ended because of a bug of the agent".to_owned();
                Over { why, after: After::Never }
            });
            if ended.borrow().is_some() {
                after = After::Never;
            }
            inner.clean_up(relay, &why, after);
        });
    }

    async fn raise(self: &Arc<Self>, relay: &Relay, mut end: watch::Receiver<Option<End>>) -> Over {
        let generation = relay.lock().generation;
        let closed = || Over { why: "the channel is closed".to_owned(), after: After::Never };
        if generation >= MAX_GENERATIONS {
            let why = "its JVM ended too often on this connection".to_owned();
            return Over { why, after: After::Never };
        }
        let limit = relay.options.limits.start;
        let start = Start { generation, channel: Channel { inner: Arc::clone(self) } };
        let started = tokio::select! {
            biased;
            _ = end.wait_for(Option::is_some) => return closed(),
            started = timeout(limit, relay.options.fallback.start(start)) => started,
        };
        let started = started.unwrap_or_else(|_| {
            let message =
                format!("its JVM could not be started within {} seconds", limit.as_secs());
            Err(NotStarted { message, lasting: false })
        });
        match started {
            Ok(child) => self.raised(relay, child, end).await,
            Err(refused) => {
                tracing::warn!("a JVM was needed and cannot be started: {}", refused.message);
                let after = if refused.lasting { After::Never } else { After::Again };
                Over { why: refused.message, after }
            }
        }
    }

    async fn raised(
        self: &Arc<Self>,
        relay: &Relay,
        child: Child,
        mut end: watch::Receiver<Option<End>>,
    ) -> Over {
        let Child { mut input, mut output, pid, ended, kill, restartable } = child;
        let limits = relay.options.limits;
        let ended: Ended = ended.shared();
        let mut killer = Killer(Some(kill));
        let again = |why: String| Over { why, after: After::Again };

        let capability = relay.options.capability;
        let ours = Greeting::ours(capability);
        let greeted = tokio::select! {
            biased;
            _ = end.wait_for(Option::is_some) => None,
            greeted = timeout(limits.greeting, greet(ours, &mut input, &mut output)) => {
                Some(greeted.unwrap_or_else(|_| {
                    Err(format!(
                        "its JVM did not come up within {} seconds",
                        limits.greeting.as_secs()
                    ))
                }))
            }
            why = ended.clone() => Some(Err(why)),
        };
        let Some(greeted) = greeted else {
            killer.kill_now(&ended).await;
            return again("the channel is closed".to_owned());
        };
        let rest = match greeted {
            Ok(rest) => rest,
            Err(problem) => {
                // A child that has ended tells why better than its silence does.
                let why = match timeout(LAST_WORDS, ended.clone()).await {
                    Ok(why) => {
                        killer.has_ended();
                        why
                    }
                    Err(_) => {
                        killer.kill_now(&ended).await;
                        problem
                    }
                };
                tracing::warn!("the JVM could not be used: {why}");
                return again(why);
            }
        };
        relay.greeted(pid);
        tracing::info!(pid, "the JVM is up");
        let why = self.serve_child(relay, (input, output, rest), &ended, &mut killer, end).await;
        let after = if restartable { After::Next } else { After::Never };
        Over { why, after }
    }

    /// Serves a child until it ends or is to end.
    async fn serve_child(
        self: &Arc<Self>,
        relay: &Relay,
        (input, output, rest): (
            Box<dyn AsyncWrite + Send + Unpin>,
            Box<dyn AsyncRead + Send + Unpin>,
            Bytes,
        ),
        ended: &Ended,
        killer: &mut Killer,
        mut end: watch::Receiver<Option<End>>,
    ) -> String {
        let limits = relay.options.limits;
        let pumping_in = pump_in(relay, input);
        let pumping_out = pump_out(self, relay, rest, output);
        let watching = watch_signs(relay, &limits);
        let opening = open_late(relay, Instant::now() + limits.greeting);
        tokio::pin!(pumping_in, pumping_out, watching, opening);
        let mut opened = false;
        let stop = loop {
            tokio::select! {
                biased;
                _ = end.wait_for(Option::is_some) => break Stop::Channel,
                _ = ended.clone() => break Stop::Ended,
                _ = &mut pumping_in => break Stop::Deaf,
                silence = &mut pumping_out => break Stop::Silence(silence),
                () = relay.backlog.overflown() => break Stop::Given(
                    "its JVM does not take what the controller sends it and was ended".to_owned(),
                ),
                why = &mut watching => break Stop::Given(why),
                () = &mut opening, if !opened => opened = true,
            }
        };
        let ends = async {
            let _ = timeout(limits.goodbye, ended.clone()).await;
        };
        let own_words = match stop {
            Stop::Ended => {
                // What it said last is on its way.
                let _ = timeout(LAST_WORDS, pumping_out).await;
                None
            }
            Stop::Deaf => {
                let listening = async {
                    tokio::select! {
                        _ = &mut pumping_out => drop(ended.clone().await),
                        _ = ended.clone() => drop(timeout(LAST_WORDS, &mut pumping_out).await),
                    }
                };
                let _ = timeout(limits.goodbye, listening).await;
                Some("its JVM reads nothing any more and was ended".to_owned())
            }
            Stop::Silence(Silence::Nothing) => {
                ends.await;
                Some("its JVM closed its output and was ended".to_owned())
            }
            Stop::Silence(Silence::Nonsense(what)) => {
                killer.kill_now(ended).await;
                return self.say(format!("its JVM was ended: {what}"));
            }
            Stop::Silence(Silence::Goodbye) => {
                relay.backlog.finish(self.encode(Outgoing::Close).ok());
                let _ = timeout(limits.goodbye, async {
                    let _ = pumping_in.await;
                    ended.clone().await
                })
                .await;
                Some("its JVM closed its channel and was ended".to_owned())
            }
            Stop::Given(why) => {
                killer.kill_now(ended).await;
                return self.say(why);
            }
            Stop::Channel => {
                if !end.borrow().as_ref().is_some_and(End::is_lost) {
                    relay.backlog.finish(self.encode(Outgoing::Close).ok());
                    let goodbye = async {
                        let _ = tokio::join!(pumping_in, pumping_out);
                        std::future::pending::<()>().await;
                    };
                    let all = async {
                        tokio::select! {
                            () = goodbye => {}
                            _ = ended.clone() => {}
                        }
                    };
                    let _ = timeout(limits.goodbye, all).await;
                }
                None
            }
        };
        if let Some(why) = ended.clone().now_or_never() {
            killer.has_ended();
            return self.say(why);
        }
        killer.kill_now(ended).await;
        self.say(own_words.unwrap_or_else(|| "its JVM was ended with the channel".to_owned()))
    }

    fn say(&self, why: String) -> String {
        if self.end.borrow().is_none() {
            tracing::warn!("the JVM is gone: {why}");
        } else {
            tracing::debug!("the JVM is gone: {why}");
        }
        why
    }
}

/// Exchanges greetings. Gives what was read beyond.
async fn greet(
    ours: Bytes,
    input: &mut (dyn AsyncWrite + Send + Unpin),
    output: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<Bytes, String> {
    let write = async {
        // A child that does not read has more to tell by its own end.
        let _ = input.write_all(&ours).await;
        let _ = input.flush().await;
    };
    let read = async {
        let mut greeting = Greeting::default();
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(4096);
            match output.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => {
                    return Err(match greeting.other() {
                        text if text.is_empty() => {
                            "its JVM closed its output before it was up".to_owned()
                        }
                        text => format!("its JVM did not come up; it printed: {text}"),
                    });
                }
                Ok(_) => {}
            }
            let mut bytes = buffer.split().freeze();
            match greeting.read(&mut bytes) {
                Ok(Some(_)) => {
                    let other = greeting.other();
                    if !other.is_empty() {
                        tracing::info!("the JVM printed: {other}");
                    }
                    return Ok(bytes);
                }
                Ok(None) => {}
                Err(error) => return Err(format!("its JVM cannot be used: {error}")),
            }
        }
    };
    let ((), read) = tokio::join!(write, read);
    read
}

/// Lets requests pass though the child has not answered what sets it up.
async fn open_late(relay: &Relay, when: Instant) {
    tokio::time::sleep_until(when).await;
    relay.backlog.open();
}

/// Ends when the child, while somebody waits for it, has given no sign of life for too long, though asked.
async fn watch_signs(relay: &Relay, limits: &RelayLimits) -> String {
    let signs = &relay.signs;
    loop {
        let seen = signs.count();
        tokio::time::sleep((limits.silence / 4).max(SHORTEST_LOOK)).await;
        // While what it says waits for the controller, its silence means nothing.
        if signs.count() > seen || signs.blocked.load(Ordering::Acquire) || !relay.is_needed() {
            continue;
        }
        relay.probe();
        let silent = timeout(limits.silence, signs.more_than(seen)).await.is_err();
        if silent && !signs.blocked.load(Ordering::Acquire) {
            return format!(
                "its JVM gave no sign of life for {} seconds and was ended",
                limits.silence.as_secs()
            );
        }
    }
}
