//! What a power cut takes: nothing, everything, or what the dice say.

/// Numbers from a seed, the same on every machine (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap().max(1);
        usize::try_from(self.next() % bound).unwrap()
    }
}

/// Which of what was not synced reached the disk.
#[derive(Clone, Debug)]
pub(crate) enum Luck {
    None,
    All,
    /// Of each file the first so many.
    Prefix(Dice),
    /// Of each file any.
    Some(Dice),
    /// Of each file the first so many, the last of them up to a sector.
    Torn(Dice),
}

impl Luck {
    /// All kinds of it.
    pub(crate) fn kinds(seed: u64) -> [Luck; 5] {
        let dice = |n: u64| Dice(seed.wrapping_mul(31).wrapping_add(n));
        [Luck::None, Luck::All, Luck::Prefix(dice(1)), Luck::Some(dice(2)), Luck::Torn(dice(3))]
    }

    /// How many of `count` things that happen in order have happened.
    pub(crate) fn prefix(&mut self, count: usize) -> usize {
        match self {
            Luck::None => 0,
            Luck::All => count,
            Luck::Prefix(dice) | Luck::Some(dice) | Luck::Torn(dice) => dice.below(count + 1),
        }
    }
}
