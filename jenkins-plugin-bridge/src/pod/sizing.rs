//! What stages should ask for, from what they used: the 95th percentile and a margin.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::requests::Amounts;
use crate::catalog::model::{Quantity, Resources};

/// Builds that must have run before anything is recommended.
pub const SAMPLES: u32 = 10;
/// What is added to the 95th percentile, in percent.
pub const MARGIN: u32 = 20;
/// Recommended memory is a multiple of this, in bytes: smaller steps would only change pods.
const MEMORY_STEP: u64 = 16 << 20;
/// The same of processors, in thousandths.
const CPU_STEP: u64 = 10;
/// The smallest memory that is recommended, in bytes.
const LEAST_MEMORY: u64 = 32 << 20;

/// Whether requests are taken from what stages used, and within which bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizingSettings {
    /// Stages ask for what is recommended in place of what they say. Else it is only shown.
    #[serde(default)]
    pub apply: bool,
    /// Builds that must have run before; 10 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_samples: Option<u32>,
    /// What is added to the 95th percentile, in percent; 20 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub margin_percent: Option<u32>,
    /// Never less than this.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub least: Resources,
    /// Never more than this.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub most: Resources,
}

/// What a stage used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How long it ran, in milliseconds.
    pub wall_ms: u64,
    /// Time of processors, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory, in bytes.
    pub peak_bytes: u64,
}

/// What a stage should ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommended {
    /// Processors, in thousandths.
    pub cpu_millis: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// What stages ask for in place of what they say: by `stage/container`, the latter as the pod has
/// it.
pub type Sizes = BTreeMap<String, Recommended>;

impl SizingSettings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What a stage should ask for that used so much in its builds; nothing where these are too
    /// few.
    #[must_use]
    pub fn recommend(&self, samples: &[Sample]) -> Option<Recommended> {
        let enough = usize::try_from(self.min_samples.unwrap_or(SAMPLES)).unwrap_or(usize::MAX);
        if samples.is_empty() || samples.len() < enough {
            return None;
        }
        let margin = u64::from(self.margin_percent.unwrap_or(MARGIN));
        let sized = |values: Vec<u64>, step: u64| {
            let with_margin = percentile_95(values).saturating_mul(100 + margin).div_ceil(100);
            with_margin.div_ceil(step).saturating_mul(step)
        };
        let cores = |one: &Sample| one.cpu_ms.saturating_mul(1000) / one.wall_ms.max(1);
        let cpu = sized(samples.iter().map(cores).collect(), CPU_STEP).max(CPU_STEP);
        let memory = sized(samples.iter().map(|one| one.peak_bytes).collect(), MEMORY_STEP);
        let (least, most) = (Amounts::of(&self.least), Amounts::limits(&self.most));
        let bound = |value: u64, least: u128, most: u128| {
            u64::try_from(u128::from(value).max(least).min(most)).unwrap_or(u64::MAX)
        };
        Some(Recommended {
            cpu_millis: bound(cpu, least.cpu, most.cpu),
            memory_bytes: bound(memory.max(LEAST_MEMORY), least.memory / 1000, most.memory / 1000),
        })
    }
}

impl Recommended {
    /// As a stage would say it.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources {
            cpu: Quantity::new(format!("{}m", self.cpu_millis)).ok(),
            memory: Quantity::new(self.memory_bytes.to_string()).ok(),
            ephemeral_storage: None,
        }
    }
}

/// The value that 95 of 100 do not exceed (the nearest rank).
#[must_use]
pub fn percentile_95(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * 95).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn samples(count: u64) -> Vec<Sample> {
        let one = |number| Sample { wall_ms: 10_000, cpu_ms: 5_000, peak_bytes: number << 20 };
        (1..=count).map(one).collect()
    }

    #[test]
    fn the_95th_percentile_is_a_value_that_was_seen() {
        assert_eq!(percentile_95(vec![]), 0);
        assert_eq!(percentile_95(vec![7]), 7);
        assert_eq!(percentile_95((1..=20).rev().collect()), 19);
        assert_eq!(percentile_95((1..=100).collect()), 95);
    }

    #[test]
    fn a_recommendation_needs_builds_and_keeps_to_its_bounds() {
        let settings = SizingSettings::default();
        assert_eq!(settings.recommend(&samples(9)), None);
        // 95 MiB and a fifth are 114 MiB, half a processor and a fifth 600m.
        let known = settings.recommend(&samples(100)).unwrap();
        assert_eq!(known, Recommended { cpu_millis: 600, memory_bytes: 128 << 20 });
        let resources = |cpu: &str, memory: &str| Resources {
            cpu: Quantity::new(cpu).ok(),
            memory: Quantity::new(memory).ok(),
            ephemeral_storage: None,
        };
        let bounded = SizingSettings {
            least: resources("1", "64Mi"),
            most: resources("2", "100Mi"),
            ..SizingSettings::default()
        };
        let known = bounded.recommend(&samples(100)).unwrap();
        assert_eq!(known, Recommended { cpu_millis: 1000, memory_bytes: 100 << 20 });
        assert_eq!(known.resources(), resources("1000m", &(100 << 20).to_string()));
        // Nothing that is reported overflows.
        let most = Sample { wall_ms: 0, cpu_ms: u64::MAX, peak_bytes: u64::MAX };
        assert!(settings.recommend(&[most; 10]).is_some());
    }
}
