//! Whose turn it is at a lock: those in line and the time in, an answer out. The same input gives the same answer.

/// Who waits and does not ask for so long is passed over, in milliseconds. It keeps its place: it is the next one
/// again once it asks. The library asks every 15 s at the latest.
pub const SILENT_MS: i64 = 60_000;
/// Between two looks at the build of a holder that others wait for, in milliseconds. Each is one request.
pub const LOOK_EVERY_MS: i64 = 30_000;

/// A stage of a build in the line of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Id of its build.
    pub build: String,
    /// Id of the stage in the plan.
    pub stage: String,
    /// The order of asking.
    pub ticket: i64,
    /// Since when it holds the lock; nothing while it waits.
    pub held_ms: Option<i64>,
    /// When it asked last.
    pub heard_ms: i64,
    /// When its lease ends by itself.
    pub expires_ms: i64,
    /// When a look at its build began last.
    pub look_ms: i64,
    /// When the last look ended.
    pub looked_ms: i64,
    /// The bridge can ask the controller of its build.
    pub can_be_asked: bool,
}

impl Place {
    /// Whether its time is over. Where its controller can be asked it is asked first: a controller that is
    /// down for hours finds its builds, and the scripts of their stages, still at work.
    #[must_use]
    pub fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_ms && (!self.can_be_asked || self.looked_ms >= self.expires_ms)
    }

    fn is(&self, build: &str, stage: &str) -> bool {
        self.build == build && self.stage == stage
    }
}

/// What somebody who asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It holds the lock, from now on or as before.
    Holds,
    /// It waits.
    Waits,
}

/// Who holds a lock.
pub fn holder(places: &[Place], now_ms: i64) -> Option<&Place> {
    places.iter().find(|one| one.held_ms.is_some() && !one.is_over(now_ms))
}

/// Whose turn it is when a stage of a build asks that is among `places`, which stand in the order of their tickets.
/// Nobody could ask before `listening_ms`, so nobody was silent until then.
#[must_use]
pub fn turn(places: &[Place], build: &str, stage: &str, now_ms: i64, listening_ms: i64) -> Turn {
    let is_own = |place: &&Place| place.is(build, stage);
    // Its time may be over: as long as nobody else has the lock, it goes on.
    if places.iter().find(is_own).is_some_and(|own| own.held_ms.is_some()) {
        return Turn::Holds;
    }
    if holder(places, now_ms).is_some() {
        return Turn::Waits;
    }
    let next = places
        .iter()
        .filter(|one| one.held_ms.is_none())
        .find(|one| is_own(one) || now_ms - one.heard_ms.max(listening_ms) <= SILENT_MS);
    if next.is_some_and(|next| is_own(&next)) { Turn::Holds } else { Turn::Waits }
}

/// The place in the line of somebody who waits: 1 for the next one.
#[must_use]
pub fn position<'p>(places: impl Iterator<Item = &'p Place>, build: &str, stage: &str) -> u32 {
    let before =
        places.filter(|one| one.held_ms.is_none()).take_while(|one| !one.is(build, stage)).count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

/// Whether the build of a holder that others wait for is to be looked at.
#[must_use]
pub fn is_to_be_looked_at(holder: &Place, now_ms: i64) -> bool {
    holder.can_be_asked && now_ms - holder.look_ms.max(holder.heard_ms) >= LOOK_EVERY_MS
}

#[cfg(test)]
mod tests;
