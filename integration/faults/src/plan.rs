//! Which faults come when: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// The directions in which bytes go through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the agent sends.
    FromAgent,
    /// What the controller sends.
    FromController,
    /// Both.
    Both,
}

/// What is done to the connections that are open at that moment, or to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends see an orderly end (FIN).
    Cut,
    /// Both ends see a reset (RST).
    Reset,
    /// The connection is reset once so many more bytes went through in that direction: in the middle of a
    /// frame, a chunk or a record.
    CutAfter {
        /// The direction that is counted.
        side: Side,
        /// How many bytes still go through.
        bytes: u64,
    },
    /// Nothing goes through for a while, then everything does.
    Stall {
        /// Which way.
        side: Side,
        /// For how long.
        time: Duration,
    },
    /// Nothing goes through for a while, then the connection is reset.
    StallAndDie {
        /// Which way.
        side: Side,
        /// For how long.
        time: Duration,
    },
    /// Every piece comes late for a while.
    Delay {
        /// How late.
        by: Duration,
        /// For how long.
        time: Duration,
    },
    /// Few bytes go through for a while.
    Throttle {
        /// How many in a second.
        bytes_per_second: u64,
        /// For how long.
        time: Duration,
    },
    /// What is sent vanishes, and nobody is told: the way of a load balancer that lost its state. The agent
    /// must find out by itself.
    HalfOpen {
        /// Which way bytes vanish.
        side: Side,
    },
    /// The agent sees a reset, the controller still has the old connection when the new one comes.
    Overtaken,
    /// Cut, and nothing listens for a while.
    Refuse {
        /// For how long.
        time: Duration,
    },
    /// Cut, and cut again while the agent comes back.
    Storm {
        /// How often.
        times: u64,
        /// The time in between.
        pause: Duration,
    },
    /// SIGKILL for the agent, which is started again.
    KillAgent {
        /// Whether the controller still has the connection of the dead process for a while.
        held: bool,
        /// How long the agent is away.
        away: Duration,
    },
    /// SIGKILL for the controller, which is started again.
    KillController {
        /// How long the controller is away.
        away: Duration,
    },
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Counted from 1.
    pub number: u64,
    /// Whether it strikes while the agent is still coming online.
    pub early: bool,
    /// How long after the agent came online; if early, after it opened a connection.
    pub pause: Duration,
    /// What happens.
    pub fault: Fault,
}

/// The faults of a seed.
#[derive(Debug)]
pub struct Plan {
    seed: u64,
    total: u64,
    blackhole_free: bool,
}

/// After this share of the faults the agent's process stays, so that what it leaks adds up.
const KILLS_UNTIL_PERCENT: u64 = 60;

fn millis(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(random.between(least, most))
}

impl Plan {
    /// `tcp`: for an agent that comes over TCP.
    #[must_use]
    pub fn new(seed: u64, total: u64, tcp: bool) -> Self {
        Self { seed, total, blackhole_free: tcp }
    }

    /// The fault of that number. Each has numbers of its own, so that a run can begin at any of them.
    #[must_use]
    pub fn step(&self, number: u64) -> Step {
        let mut random = Random::new(self.seed.wrapping_mul(0x1_0000_0001).wrapping_add(number));
        random.number();
        let early = random.percent(20);
        let pause = if early { millis(&mut random, 0, 80) } else { millis(&mut random, 0, 1200) };
        let fault = self.fault(&mut random, number);
        Step { number, early, pause, fault }
    }

    fn fault(&self, random: &mut Random, number: u64) -> Fault {
        const SIDES: [Side; 3] = [Side::FromAgent, Side::FromController, Side::Both];
        let side = random.one_of(&SIDES);
        let kills = number * 100 <= self.total * KILLS_UNTIL_PERCENT;
        match random.between(0, 99) {
            0..12 => Fault::Cut,
            12..24 => Fault::Reset,
            24..40 => {
                let side = random.one_of(&[Side::FromAgent, Side::FromController]);
                // Small numbers hit handshakes and heads of frames, large ones streams.
                let most = random.one_of(&[40, 400, 4_000, 40_000, 400_000]);
                Fault::CutAfter { side, bytes: random.between(1, most) }
            }
            40..47 => Fault::Stall { side, time: millis(random, 100, 2500) },
            47..53 => Fault::StallAndDie { side, time: millis(random, 100, 2500) },
            53..58 => Fault::Delay { by: millis(random, 5, 150), time: millis(random, 300, 2000) },
            58..63 => {
                let bytes_per_second = random.one_of(&[2_000, 20_000, 200_000]);
                Fault::Throttle { bytes_per_second, time: millis(random, 300, 2000) }
            }
            63..71 if !self.blackhole_free || side == Side::Both => Fault::HalfOpen { side },
            63..71 => Fault::HalfOpen { side: Side::Both },
            71..79 => Fault::Overtaken,
            79..86 => Fault::Refuse { time: millis(random, 100, 3000) },
            86..91 => Fault::Storm { times: random.between(2, 4), pause: millis(random, 10, 400) },
            91..97 if kills => {
                Fault::KillAgent { held: random.percent(40), away: millis(random, 0, 1500) }
            }
            91..97 => Fault::Reset,
            _ => Fault::KillController { away: millis(random, 0, 2000) },
        }
    }
}

impl Fault {
    /// The kind, for tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::CutAfter { .. } => "reset after N bytes",
            Self::Stall { .. } => "stall",
            Self::StallAndDie { .. } => "stall, then reset",
            Self::Delay { .. } => "delay",
            Self::Throttle { .. } => "throttle",
            Self::HalfOpen { .. } => "half open",
            Self::Overtaken => "new before old ends",
            Self::Refuse { .. } => "refused",
            Self::Storm { .. } => "cuts in a row",
            Self::KillAgent { held: false, .. } => "agent killed",
            Self::KillAgent { held: true, .. } => "agent killed, old held",
            Self::KillController { .. } => "controller killed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Cut | Self::Reset | Self::Overtaken => Ok(()),
            Self::CutAfter { side, bytes } => write!(f, ", {side} {bytes} bytes"),
            Self::Stall { side, time } | Self::StallAndDie { side, time } => {
                write!(f, ", {side} {} ms", time.as_millis())
            }
            Self::Delay { by, time } => {
                write!(f, ", {} ms for {} ms", by.as_millis(), time.as_millis())
            }
            Self::Throttle { bytes_per_second, time } => {
                write!(f, ", {bytes_per_second} bytes/s for {} ms", time.as_millis())
            }
            Self::HalfOpen { side } => write!(f, ", {side}"),
            Self::Refuse { time }
            | Self::KillController { away: time }
            | Self::KillAgent { away: time, .. } => write!(f, ", {} ms", time.as_millis()),
            Self::Storm { times, pause } => write!(f, ", {times} every {} ms", pause.as_millis()),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromAgent => "from the agent",
            Self::FromController => "from the controller",
            Self::Both => "both ways",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_repeats_its_faults_from_any_number_on() {
        let (one, other) = (Plan::new(42, 1000, false), Plan::new(42, 1000, false));
        for number in (1..=1000).rev() {
            assert_eq!(one.step(number), other.step(number));
        }
        assert_ne!(one.step(1), Plan::new(43, 1000, false).step(1));
    }

    #[test]
    fn every_kind_comes_and_the_last_process_lives_long() {
        let plan = Plan::new(1, 1000, false);
        let steps: Vec<_> = (1..=1000).map(|number| plan.step(number)).collect();
        let kinds: BTreeSet<_> = steps.iter().map(|step| step.fault.kind()).collect();
        assert_eq!(kinds.len(), 14, "{kinds:?}");
        let kill = |step: &&Step| matches!(step.fault, Fault::KillAgent { .. });
        assert!(steps[600..].iter().filter(kill).count() == 0);
        assert!(steps[..600].iter().filter(kill).count() > 20);
        assert!(steps.iter().filter(|step| step.early).count() > 150);
    }

    /// The seeds stand in `cargo xtask test faults`.
    #[test]
    fn the_short_run_of_ci_has_every_kind() {
        let kinds = |seed, total, tcp| {
            let plan = Plan::new(seed, total, tcp);
            let steps = (1..=total).map(|number| plan.step(number).fault.kind());
            steps.collect::<BTreeSet<_>>()
        };
        assert_eq!(kinds(3567, 20, false).len(), 14);
        let tcp = kinds(681, 6, true);
        assert!(tcp.contains("agent killed") && tcp.contains("half open"), "{tcp:?}");
    }
}
