//! What spreads `H`: the numbers that a controller would draw for a job of this name.

use md5::{Digest as _, Md5};

/// `java.util.Random`, seeded as `hudson.scheduler.Hash` does it.
#[derive(Debug, Clone)]
pub struct Hash {
    state: u64,
}

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

impl Hash {
    /// For a full name of a job.
    #[must_use]
    pub fn from_seed(seed: &str) -> Self {
        let digest: [u8; 16] = Md5::digest(seed.as_bytes()).into();
        let folded =
            (0..8).fold(0_u64, |all, at| (all << 8) | u64::from(digest[at] ^ digest[at + 8]));
        Self { state: (folded ^ MULTIPLIER) & MASK }
    }

    fn bits31(&mut self) -> u32 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        // 31 bits are left of 48.
        u32::try_from(self.state >> 17).unwrap_or(0)
    }

    /// The next number below one that is at least 1 (`java.util.Random.nextInt`).
    pub fn next(&mut self, below: u8) -> u8 {
        let bound = u32::from(below.max(1));
        let drawn = if bound.is_power_of_two() {
            (u64::from(bound) * u64::from(self.bits31())) >> 31
        } else {
            loop {
                let bits = self.bits31();
                let value = bits % bound;
                // What would make the low numbers more likely is drawn again.
                if bits - value + (bound - 1) <= i32::MAX.cast_unsigned() {
                    break u64::from(value);
                }
            }
        };
        u8::try_from(drawn).unwrap_or(0)
    }
}
