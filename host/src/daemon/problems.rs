//! What is wrong with the machine rather than with an object, in words for its report.
use outrigger_kube::Problem;
use outrigger_net::LinkFailure;

/// Nothing can be heard or said on a link.
pub(super) fn link_problem(failure: LinkFailure) -> Problem {
    tracing::error!("{failure}");
    Problem {
        file: String::new(),
        object: Some(format!("link {}", failure.name)),
        message: failure.to_string(),
    }
}

/// The node cannot speak with the others.
pub(super) fn cannot_join(node: &str, error: &anyhow::Error) -> Problem {
    tracing::error!("this node cannot join the others and announces nothing: {error:#}");
    Problem {
        file: String::new(),
        object: Some(format!("Node {node}")),
        message: format!("this node cannot join the others and announces nothing: {error:#}"),
    }
}
