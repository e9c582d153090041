//! Runs the golden vectors that every policy must satisfy.
use outrigger_sdk::Policy;

use super::LowestFree;

#[path = "../../../../tests/vectors/runner.rs"]
mod vectors;

#[test]
fn lowest_free_answers_the_golden_vectors() {
    vectors::check("lowest-free", |request, pool| LowestFree::allocate(request, &pool));
}
