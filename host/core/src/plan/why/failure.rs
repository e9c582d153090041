//! What keeps a node that may answer from doing so: the node itself, an announcer that does not run, a plugin that failed, or
//! what the plugin says. Knows nothing of who answers instead.
use super::super::heard::{AddressWord, AnnouncerWord, NodeWord};
use super::Asked;
use crate::facts::Announcer;

/// Why a node cannot answer.
pub(super) struct Failure {
    /// What is wrong.
    pub why: String,
    /// What to change.
    pub fix: String,
    /// What was announced before goes on for a limited time.
    pub held: bool,
}

impl Asked<'_> {
    pub(super) fn failure(&self, node: &str, word: &NodeWord) -> Option<Failure> {
        let log = format!(
            "kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix (the pod on {node})"
        );
        if !word.missing.is_empty() {
            let why = format!("it is not ready, and waits for {}", word.missing.join(", "));
            return Some(Failure { why, fix: format!("see {log}"), held: false });
        }
        let own = || self.cover.iter().filter(|one| self.selects(one, node));
        for announcer in own() {
            let title = self.title(announcer);
            let Some(running) = word.announcers.get(&announcer.name) else {
                let object = format!("Announcer {}", announcer.name);
                let said = word.problems.iter().find(|(about, _)| *about == object);
                let (why, fix) = match said {
                    Some((_, said)) => (said.as_str(), format!("mend {title}: {said}")),
                    None => ("it has not started", format!("see {log}")),
                };
                let why = format!("{title} does not run on {node}: {why}");
                return Some(Failure { why, fix, held: false });
            };
            if running.phase != "Running" {
                return Some(self.of_plugin(announcer, node, running));
            }
        }
        let says = |entry: &&AddressWord| entry.state == "failed";
        let (by, said) = match word.on(self.address).iter().find(says) {
            Some(entry) => (Some(entry.announcer.as_str()), entry.message.clone()),
            None => (None, word.exceptions.get(&self.address)?.clone()),
        };
        let announcer = own().find(|one| by.is_none_or(|by| one.name == by))?;
        Some(self.by_its_own_words(announcer, node, word, &said))
    }

    /// The plugin does not run.
    fn of_plugin(&self, announcer: &Announcer, node: &str, running: &AnnouncerWord) -> Failure {
        let AnnouncerWord { plugin, origin, phase, last_fault } = running;
        let title = self.title(announcer);
        let held = phase == "Held";
        let how = match held {
            true => "failed, and starting it again did not help",
            false => "does not start",
        };
        let from = match origin.as_str() {
            "" => "nobody knows where it comes from".to_owned(),
            "embedded" => "it is the one that comes with Outrigger".to_owned(),
            origin => format!("it comes from {origin}"),
        };
        let fault = match last_fault.as_str() {
            "" => "it says nothing of why".to_owned(),
            fault => format!("its last error is: {fault}"),
        };
        let why = format!("plugin {plugin:?} of {title} {how}; {from}; {fault}");
        let mut fix = fix_of_plugin(plugin, origin);
        if self.cluster.announcers.contains_key(&announcer.name) {
            fix.push_str(&format!(
                "; if the error is about its configuration, correct spec.config of {title} (kubectl edit announcer {})",
                announcer.name
            ));
        }
        if held {
            fix = format!(
                "start Outrigger on {node} again: kubectl -n outrigger-system delete pod -l app.kubernetes.io/component=node --field-selector spec.nodeName={node}; if that does not help, {fix}"
            );
        }
        Failure { why, fix, held }
    }

    /// The plugin runs and says that it cannot announce the address.
    fn by_its_own_words(
        &self,
        announcer: &Announcer,
        node: &str,
        word: &NodeWord,
        said: &str,
    ) -> Failure {
        let title = self.title(announcer);
        if let Some(details) = &word.details
            && !announcer.interfaces.is_empty()
            && !announcer.interfaces.iter().any(|name| details.links.contains_key(name))
        {
            let there: Vec<&str> = details.links.keys().map(String::as_str).collect();
            let why = format!(
                "{title} may use only {} (its spec.interfaces), and {node} has no such interface: it has {}",
                announcer.interfaces.join(", "),
                there.join(", ")
            );
            let fix = format!(
                "name an interface that {node} has in spec.interfaces of {title}, or remove spec.interfaces to use all of them (kubectl edit announcer {})",
                announcer.name
            );
            return Failure { why, fix, held: false };
        }
        let (what, advice) = said.rsplit_once(": ").unwrap_or((said, said));
        let why = format!("plugin {:?} of {title} says: {what}", announcer.plugin.plugin);
        let mut fix = format!("on {node}: {advice}");
        if !announcer.interfaces.is_empty() {
            fix.push_str(&format!(
                ", or name another one in spec.interfaces of {title}, which has {} now (kubectl edit announcer {})",
                announcer.interfaces.join(", "),
                announcer.name
            ));
        }
        Failure { why, fix, held: false }
    }

    /// What a person calls it: the one that is used while there is no Announcer is no object.
    pub(super) fn title(&self, announcer: &Announcer) -> String {
        match self.cluster.announcers.contains_key(&announcer.name) {
            true => format!("Announcer {}", announcer.name),
            false => format!("the built-in announcer {:?}", announcer.name),
        }
    }

    fn selects(&self, announcer: &Announcer, node: &str) -> bool {
        let labels = self.cluster.nodes.get(node).map(|node| &node.labels);
        labels.is_none_or(|labels| announcer.node_selector.matches(labels))
    }
}

/// What to change so that a plugin runs, by where it came from.
fn fix_of_plugin(plugin: &str, origin: &str) -> String {
    let back = "the one that comes with Outrigger, if there is one of this name, then serves again";
    match origin {
        "" => format!("deliver plugin {plugin:?} (kubectl get plugins {plugin} -o wide)"),
        "embedded" => format!(
            "deliver another build of plugin {plugin:?} (docs/plugins.md), and report the error to Outrigger's developers"
        ),
        origin if origin.starts_with("ConfigMap ") => format!(
            "apply a ConfigMap with a build of plugin {plugin:?} that works (docs/plugins.md), or take this one back: kubectl -n outrigger-system delete configmap -l outrigger.dev/plugin={plugin} ({back})"
        ),
        path => format!("replace {path} with a build that works, or remove it ({back})"),
    }
}
