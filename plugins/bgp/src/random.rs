//! Jitter, derived from the host's seed alone, so that the same calls always produce the same result.
use serde::{Deserialize, Serialize};

/// SplitMix64 generator: 64 bits of state are enough to keep speakers from dialling in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: &[u8]) -> Self {
        // FNV-1a over the whole seed.
        let fold = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
        Self(seed.iter().fold(0xcbf2_9ce4_8422_2325, fold))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a random value between three quarters of `whole_us` and all of it (RFC 4271 section 10).
    pub(crate) fn jittered(&mut self, whole_us: u64) -> u64 {
        let quarter = whole_us / 4;
        whole_us - self.next() % (quarter + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_takes_off_a_quarter_at_most() {
        let mut random = Random::new(&[7; 32]);
        let drawn: Vec<u64> = (0..1000).map(|_| random.jittered(1000)).collect();
        assert!(drawn.iter().all(|us| (750..=1000).contains(us)));
        assert!(drawn.iter().any(|us| *us < 780) && drawn.iter().any(|us| *us > 970));
        assert_eq!(Random::new(&[7; 32]).jittered(1000), drawn[0]);
        assert_ne!(Random::new(&[8; 32]).next(), Random::new(&[7; 32]).next());
        assert_eq!(random.jittered(0), 0);
    }
}
