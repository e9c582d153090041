//! What is wrong with one file or object, for a person. Must not know who reads it.
use crate::crd::ProblemReport;

/// One bad object. It stops only itself (invariant 9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Kind and name, where they could be read: "AddressPool default".
    pub object: Option<String>,
    /// What is wrong and how to mend it.
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
