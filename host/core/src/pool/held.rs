//! A set of taken numbers of a row, with order statistics: "the n-th number that is not taken" in O(log n). Does not
//! know addresses.

/// A set of taken numbers in a row that is mostly free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The taken numbers, ascending and without duplicates.
    numbers: Vec<u128>,
}

impl Held {
    /// Takes a number. Returns false if it was already taken.
    pub fn insert(&mut self, number: u128) -> bool {
        let Err(at) = self.numbers.binary_search(&number) else { return false };
        self.numbers.insert(at, number);
        true
    }

    /// Releases a number. Returns false if it was not taken.
    pub fn remove(&mut self, number: u128) -> bool {
        let Ok(at) = self.numbers.binary_search(&number) else { return false };
        self.numbers.remove(at);
        true
    }

    /// Returns true if a number is taken.
    pub fn contains(&self, number: u128) -> bool {
        self.numbers.binary_search(&number).is_ok()
    }

    /// Returns the number of taken numbers.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns true if no number is taken.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns the count of free numbers below this one.
    pub fn free_below(&self, number: u128) -> u128 {
        number - self.numbers.partition_point(|held| *held < number) as u128
    }

    /// Returns the free number that has `n` free ones below it, in an endless row.
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

    /// Returns the taken numbers from this one on, ascending.
    pub fn from(&self, number: u128) -> impl Iterator<Item = u128> + '_ {
        self.numbers[self.numbers.partition_point(|held| *held < number)..].iter().copied()
    }
}
