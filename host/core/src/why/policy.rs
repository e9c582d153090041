//! What became of a pool's policy: the policy itself is not asked again, so that its answer is read from what the controller
//! wrote on the Service. Knows nothing of any other reason.
use super::{Inputs, Said};
use crate::allocation::{PoolOutcome, PoolWord};

impl Inputs {
    /// A pool that could give an address, and whose policy did not by the controller's words.
    pub(super) fn by_policy(&self, word: PoolWord, said: Option<&Said>) -> PoolWord {
        let text = said.and_then(|said| of_pool(&said.condition.message, &word.pool));
        let (PoolOutcome::Undecided, Some(said), Some(text)) = (word.outcome, said, text) else {
            return word;
        };
        let name = &word.pool;
        let plugin = self.cluster.pools.get(name).map_or("", |pool| &pool.allocator.plugin);
        let policy = format!("its policy (spec.allocator.plugin: {plugin})");
        let other =
            format!("name another one in spec.allocator.plugin (kubectl edit addresspool {name})");
        let mend = format!("replace plugin {plugin:?} (kubectl get plugins {plugin} -o wide)");
        let (message, first) = match text.strip_prefix("its policy ") {
            Some(rest) => (format!("{policy} {rest}"), mend),
            None if said.condition.reason == "PolicyAnswerRefused" => {
                (format!("what {policy} answered cannot be used: {text}"), mend)
            }
            None => (format!("{policy} refused: {text}"), "do what the policy asks for".to_owned()),
        };
        PoolWord {
            outcome: PoolOutcome::Refused,
            message: format!("passed over: {message}"),
            fix: format!("{first}, or {other}"),
            ..word
        }
    }
}

/// What a condition says of one pool, of which it may name several.
fn of_pool<'a>(message: &'a str, pool: &str) -> Option<&'a str> {
    let (_, text) = message.split_once(&format!("pool {pool:?}: "))?;
    Some(text.split_once("; pool \"").map_or(text, |(text, _)| text))
}
