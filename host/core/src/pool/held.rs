//! Which numbers of a row are taken, with order statistics: "the n-th number that is not taken" in O(log n).
//! Knows nothing of addresses.

/// A set of numbers, most of the row being free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Ascending, no number twice.
    numbers: Vec<u128>,
}

impl Held {
    /// Takes a number. False when it was taken.
    pub fn insert(&mut self, number: u128) -> bool {
        let Err(at) = self.numbers.binary_search(&number) else { return false };
        self.numbers.insert(at, number);
        true
    }

    /// Gives a number back. False when it was not taken.
    pub fn remove(&mut self, number: u128) -> bool {
        let Ok(at) = self.numbers.binary_search(&number) else { return false };
        self.numbers.remove(at);
        true
    }

    /// Whether a number is taken.
    pub fn contains(&self, number: u128) -> bool {
        self.numbers.binary_search(&number).is_ok()
    }

    /// How many are taken.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether none is taken.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// How many numbers below this one are free.
    pub fn free_below(&self, number: u128) -> u128 {
        number - self.numbers.partition_point(|held| *held < number) as u128
    }

    /// The free number with `n` free ones below it, in a row without end.
    pub fn nth_free(&self, n: u128) -> u128 {
        // Below numbers[i] there are numbers[i] - i free ones; that never falls as i rises.
        let (mut low, mut high) = (0, self.numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.numbers[middle] - middle as u128 <= n {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        n.saturating_add(low as u128)
    }

    /// The taken numbers from this one on, ascending.
    pub fn from(&self, number: u128) -> impl Iterator<Item = u128> + '_ {
        self.numbers[self.numbers.partition_point(|held| *held < number)..].iter().copied()
    }
}
