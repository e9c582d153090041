//! Failures that prevent an eligible node from answering: the node itself, an announcer that does not run, a plugin
//! that failed, or an error reported by the plugin. Must not know which node answers instead.
use super::super::observed::{AddressObservation, AnnouncerObservation, NodeObservation};
use super::{AddressQuestion, SHIPPED};
use crate::facts::Announcer;

/// Command in layer2's advice to set up an interface.
const BRING_UP: &str = "ip link set NAME up";

/// The reason why a node cannot answer.
pub(super) struct Failure {
    /// A description of the fault.
    pub why: String,
    /// The plugin's last error, "" if there is none.
    pub error: String,
    /// Changes that fix the fault, each an alternative.
    pub fixes: Vec<String>,
    /// True if existing announcements continue for a limited time.
    pub held: bool,
}

impl AddressQuestion<'_> {
    pub(super) fn failure(&self, node: &str, word: &NodeObservation) -> Option<Failure> {
        let log = format!(
            "to check its log: kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix (the pod on {node})"
        );
        if !word.missing.is_empty() {
            let why = format!("it is not ready, and waits for {}", word.missing.join(", "));
            return Some(Failure::plain(why, vec![log]));
        }
        let own = || self.cover.iter().filter(|one| self.selects(one, node));
        for announcer in own() {
            let title = self.title(announcer);
            let Some(running) = word.announcers.get(&announcer.name) else {
                let object = format!("Announcer {}", announcer.name);
                let said = word.problems.iter().find(|(about, _)| *about == object);
                let (why, fix) = match said {
                    Some((_, said)) => (said.as_str(), format!("fix {title}: {said}")),
                    None => ("it has not started", log),
                };
                let why = format!("{title} does not run on {node}: {why}");
                return Some(Failure::plain(why, vec![fix]));
            };
            if running.phase != "Running" {
                return Some(self.of_plugin(announcer, node, running));
            }
        }
        let says = |entry: &&AddressObservation| entry.state == "failed";
        let (by, said) = match word.on(self.address).iter().find(says) {
            Some(entry) => (Some(entry.announcer.as_str()), entry.message.clone()),
            None => (None, word.exceptions.get(&self.address)?.clone()),
        };
        let announcer = own().find(|one| by.is_none_or(|by| one.name == by))?;
        Some(self.by_its_own_words(announcer, node, word, &said))
    }

    /// Describes a plugin that does not run.
    fn of_plugin(
        &self,
        announcer: &Announcer,
        node: &str,
        running: &AnnouncerObservation,
    ) -> Failure {
        let AnnouncerObservation { plugin, origin, phase, last_fault } = running;
        let title = self.title(announcer);
        let held = phase == "Held";
        let how = match held {
            true => "failed, and a restart did not help",
            false if last_fault.contains("start failed: the plugin crashed") => "crashes at start",
            false => "does not start",
        };
        let from = match origin.as_str() {
            "" => "its origin is unknown",
            "embedded" => "it is the build that comes with Outrigger",
            origin => &format!("it is the build of {origin}"),
        };
        let silent = if last_fault.is_empty() { ", and no reason is reported" } else { "" };
        let why = format!(
            "plugin {plugin:?} of {title} {how}{silent}; {from}; every address that it announces is affected"
        );
        let mut fixes = fixes_of_plugin(plugin, origin);
        if held {
            fixes.insert(0, format!(
                "restart Outrigger on {node}: kubectl -n outrigger-system delete pod -l app.kubernetes.io/component=node --field-selector spec.nodeName={node}"
            ));
        }
        if self.cluster.announcers.contains_key(&announcer.name) {
            fixes.push(format!(
                "if the error is about its configuration, correct spec.config of {title}: kubectl edit announcer {}",
                announcer.name
            ));
        }
        Failure { why, error: last_fault.clone(), fixes, held }
    }

    /// Describes an error of a running plugin that cannot announce the address, from its report.
    fn by_its_own_words(
        &self,
        announcer: &Announcer,
        node: &str,
        word: &NodeObservation,
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
            let edit = format!("kubectl edit announcer {}", announcer.name);
            let fixes = vec![
                format!("name an interface that {node} has in spec.interfaces of {title}: {edit}"),
                format!("remove spec.interfaces of {title}, to use all of them: {edit}"),
            ];
            return Failure::plain(why, fixes);
        }
        let plugin = &announcer.plugin.plugin;
        let Some((what, advice)) = said.rsplit_once(": ").filter(|(_, text)| is_sentence(text))
        else {
            let origin = word.announcers.get(&announcer.name).map_or("", |one| &one.origin);
            let why = format!("plugin {plugin:?} of {title} reports: {said}");
            return Failure::plain(why, fixes_of_plugin(plugin, origin));
        };
        let mut why = format!("plugin {plugin:?} of {title} reports: {what}");
        let mut fixes = vec![format!("on {node}: {advice}")];
        let may = usable(announcer, word);
        if advice.contains(BRING_UP) && !may.is_empty() {
            why.push_str(&format!("; it may use {} there", may.join(", ")));
            let up = |name: &&str| format!("on {node}: ip link set {name} up arp on");
            fixes = may.iter().map(up).collect();
        }
        if !announcer.interfaces.is_empty() {
            fixes.push(format!(
                "name another interface in spec.interfaces of {title}, which is {} now: kubectl edit announcer {}",
                announcer.interfaces.join(", "),
                announcer.name
            ));
        }
        Failure::plain(why, fixes)
    }

    /// Returns the announcer's name for messages. The built-in announcer is not an object.
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

impl Failure {
    /// Creates a failure that is not that of a plugin.
    fn plain(why: String, fixes: Vec<String>) -> Self {
        Self { why, error: String::new(), fixes, held: false }
    }
}

/// Returns true if the text is readable advice. A single word is the name of a reason ("address-not-desired"), or a
/// value.
fn is_sentence(text: &str) -> bool {
    text.split_whitespace().nth(1).is_some()
}

/// Returns the interfaces of a node that an announcer may use, as far as the node has reported them.
fn usable<'a>(announcer: &Announcer, word: &'a NodeObservation) -> Vec<&'a str> {
    let links = word.details.iter().flat_map(|details| details.links.keys());
    let may =
        |name: &&String| announcer.interfaces.is_empty() || announcer.interfaces.contains(*name);
    links.filter(may).map(String::as_str).collect()
}

/// Returns the fixes for a plugin that does not run, depending on its origin.
fn fixes_of_plugin(plugin: &str, origin: &str) -> Vec<String> {
    let is_shipped = SHIPPED.contains(&plugin);
    let another =
        format!("apply a ConfigMap with a build of plugin {plugin:?} that works (docs/plugins.md)");
    match origin {
        "" => vec![format!(
            "{another}; to see what is known of it: kubectl get plugins {plugin} -o wide"
        )],
        "embedded" => vec![format!("{another}, and report the error to Outrigger's developers")],
        origin if origin.starts_with("ConfigMap ") => {
            let back = format!(
                "roll back to the build that comes with Outrigger: kubectl -n outrigger-system delete configmap -l outrigger.dev/plugin={plugin} (this deletes every uploaded build of plugin {plugin:?})"
            );
            std::iter::once(another).chain(is_shipped.then_some(back)).collect()
        }
        path => {
            let back = format!("remove {path} to roll back to the build that comes with Outrigger");
            let replace = format!("replace {path} with a build that works");
            std::iter::once(replace).chain(is_shipped.then_some(back)).collect()
        }
    }
}
