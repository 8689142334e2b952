//! Windows of the streams that this side writes: how much the peer takes before it must acknowledge
//! (`PipeWindow`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use super::{StreamError, lock};

/// The window of a stream: bytes that may be under way unacknowledged
/// (`Channel.PIPE_WINDOW_SIZE`).
pub(crate) const WINDOW_BYTES: i64 = 1 << 20;

/// A writer waits for at least this much of the window, or for all it needs if that is less
/// (`PipeWindow.Real`), so that a slow reader does not cause tiny chunks.
const MIN_ROOM: i64 = 100 << 10;

pub(crate) struct Window {
    state: Mutex<WindowState>,
    changed: Notify,
}

struct WindowState {
    room: i64,
    dead: Option<StreamError>,
}

/// The windows of all streams that are being written, by the peer's oid.
#[derive(Default)]
pub(crate) struct Windows {
    by_oid: Mutex<ByOid>,
}

#[derive(Default)]
struct ByOid {
    windows: HashMap<i32, Weak<Window>>,
    /// The channel has ended.
    ended: bool,
}

/// A part of a window that was taken for a chunk. Dropped unused, it is given back.
pub(crate) struct Room<'w> {
    window: &'w Window,
    pub(crate) size: usize,
}

impl Windows {
    pub(crate) fn of(&self, oid: i32) -> Arc<Window> {
        let mut by_oid = lock(&self.by_oid);
        if let Some(window) = by_oid.windows.get(&oid).and_then(Weak::upgrade) {
            return window;
        }
        by_oid.windows.retain(|_, window| window.strong_count() > 0);
        let dead = by_oid.ended.then_some(StreamError::Closed);
        let state = WindowState { room: WINDOW_BYTES, dead };
        let window = Arc::new(Window { state: Mutex::new(state), changed: Notify::new() });
        by_oid.windows.insert(oid, Arc::downgrade(&window));
        window
    }

    fn get(&self, oid: i32) -> Option<Arc<Window>> {
        lock(&self.by_oid).windows.get(&oid).and_then(Weak::upgrade)
    }

    pub(crate) fn acknowledge(&self, oid: i32, size: i32) {
        if let Some(window) = self.get(oid) {
            window.give_back(i64::from(size.max(0)));
        }
    }

    pub(crate) fn kill(&self, oid: i32, why: &StreamError) {
        if let Some(window) = self.get(oid) {
            window.kill(why);
        }
    }

    pub(crate) fn fail_all(&self) {
        let mut by_oid = lock(&self.by_oid);
        by_oid.ended = true;
        for window in by_oid.windows.values().filter_map(Weak::upgrade) {
            window.kill(&StreamError::Closed);
        }
    }
}

impl Window {
    fn kill(&self, why: &StreamError) {
        lock(&self.state).dead.get_or_insert_with(|| why.clone());
        self.changed.notify_waiters();
    }

    fn give_back(&self, size: i64) {
        let mut state = lock(&self.state);
        state.room = state.room.saturating_add(size).min(WINDOW_BYTES);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes up to `wanted` of the window, waiting until a worthwhile part is free.
    pub(crate) async fn take(&self, wanted: usize) -> Result<Room<'_>, StreamError> {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let taken = self
            .wait(|room| {
                let taken = (*room >= wanted.min(MIN_ROOM)).then(|| wanted.min(*room))?;
                *room -= taken;
                Some(taken)
            })
            .await?;
        Ok(Room { window: self, size: usize::try_from(taken).unwrap_or(0) })
    }

    /// Waits until nothing is under way.
    pub(crate) async fn whole(&self) -> Result<(), StreamError> {
        self.wait(|room| (*room >= WINDOW_BYTES).then_some(())).await
    }

    async fn wait<T>(
        &self,
        mut ready: impl FnMut(&mut i64) -> Option<T>,
    ) -> Result<T, StreamError> {
        loop {
            // Registered before the check, so that an acknowledgement in between is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if let Some(why) = &state.dead {
                    return Err(why.clone());
                }
                if let Some(taken) = ready(&mut state.room) {
                    return Ok(taken);
                }
            }
            changed.await;
        }
    }
}

impl Room<'_> {
    /// A chunk of this size has gone out.
    pub(crate) fn used(mut self) {
        self.size = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.size > 0 {
            self.window.give_back(i64::try_from(self.size).unwrap_or(i64::MAX));
        }
    }
}
