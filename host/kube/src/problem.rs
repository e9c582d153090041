//! A human-readable problem with one file or object. This module must not know who reads it.
use crate::crd::ProblemReport;

/// One invalid object. It affects no other object (invariant 9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Kind and name, such as "AddressPool default"; `None` if they could not be read.
    pub object: Option<String>,
    /// Explanation of the problem and how to fix it.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{}: {object}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl From<Problem> for ProblemReport {
    fn from(problem: Problem) -> Self {
        Self { file: problem.file, object: problem.object, message: problem.message }
    }
}
