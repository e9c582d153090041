//! The result of a pool's policy. The policy is not called again; its answer is read from the condition that the
//! controller wrote on the Service. Must not know other reasons.
use super::{Inputs, PASSED_OVER, PublishedCondition, WAITED_FOR};
use crate::allocation::{PoolOutcome, PoolWord};
use crate::facts::FailurePolicy;

impl Inputs {
    /// Adds the policy's reason to a pool that could give an address, if the controller reports that its policy did
    /// not.
    pub(super) fn by_policy(&self, word: PoolWord, said: Option<&PublishedCondition>) -> PoolWord {
        let text = said.and_then(|said| of_pool(&said.condition.message, &word.pool));
        let (PoolOutcome::Undecided, Some(said), Some(text)) = (word.outcome, said, text) else {
            return word;
        };
        let name = &word.pool;
        let pool = self.cluster.pools.get(name);
        let plugin = pool.map_or("", |pool| &pool.allocator.plugin);
        let failure_policy = pool.map(|pool| pool.failure_policy).unwrap_or_default();
        let policy = format!("policy {plugin:?} of AddressPool {name}");
        let other = format!(
            "use another policy, for every Service of pool {name}: kubectl edit addresspool {name}, spec.allocator.plugin (to see the names: kubectl get plugins)"
        );
        let mend = format!(
            "replace policy {plugin:?}: apply a ConfigMap with a build that works (docs/plugins.md)"
        );
        let (message, first, failed) = match text.strip_prefix("its policy ") {
            Some(rest) => {
                let again = "until then Outrigger retries this one automatically";
                (format!("{policy} {rest}"), format!("{mend}; {again}"), true)
            }
            None if said.condition.reason == "PolicyAnswerRefused" => {
                (format!("the answer of {policy} cannot be used: {text}"), mend, true)
            }
            None => {
                let first = "follow that message".to_owned();
                (format!("{policy} refused with the message: \"{text}\""), first, false)
            }
        };
        let mut fixes = vec![first, other];
        let mut prefix = PASSED_OVER;
        if failed && failure_policy == FailurePolicy::Wait {
            prefix = WAITED_FOR;
            fixes.push(format!(
                "let the next pool or the built-in policy assign an address until then: kubectl edit addresspool {name}, spec.allocator.failurePolicy: NextPool or Builtin"
            ));
        }
        let message = format!("{prefix}{message}");
        PoolWord { outcome: PoolOutcome::Refused, message, fixes, ..word }
    }
}

/// Returns the part of a condition's message about one pool; the message may name several.
fn of_pool<'a>(message: &'a str, pool: &str) -> Option<&'a str> {
    let (_, text) = message.split_once(&format!("pool {pool:?}: "))?;
    Some(text.split_once("; pool \"").map_or(text, |(text, _)| text))
}
