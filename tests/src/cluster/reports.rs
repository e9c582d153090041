//! Reports of the product: `outrigger status` and its logs.
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cluster, LIMIT};
use crate::daemon::Daemon;
use crate::{product, wait};

impl Cluster {
    /// Returns the output of `outrigger status -o json`.
    ///
    /// # Errors
    /// When it does not print JSON.
    pub fn status(&self) -> Result<Value> {
        let (manifests, state) = (self.manifests.to_string_lossy(), self.state.to_string_lossy());
        let text =
            product::ask(&["status", "--manifests", &manifests, "--state", &state, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("outrigger status printed {text}"))
    }

    /// Waits until every running node shows this digest for the plugin, and for every announcer that uses it.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_plugin(&self, plugin: &str, digest: &str) -> Result<()> {
        let same =
            |entry: &Value| entry["digest"].as_str().is_some_and(|shown| shown.ends_with(digest));
        wait::until(&format!("{plugin} {} runs on every node", &digest[..12]), LIMIT, || {
            let reports = self.reports()?;
            let active = |report: &Value| {
                list(report, "plugins").any(|entry| entry["name"] == plugin && same(entry))
                    && list(report, "announcers")
                        .filter(|entry| entry["plugin"] == plugin)
                        .all(same)
            };
            Ok((reports.len() == self.running() && reports.iter().all(active)).then_some(()))
        })
    }

    /// Waits until every running node knows every other one.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_members(&self) -> Result<()> {
        wait::until("every node has all nodes as members", LIMIT, || {
            let reports = self.reports()?;
            let knows_all = |report: &Value| list(report, "members").count() >= self.running();
            Ok((reports.len() == self.running() && reports.iter().all(knows_all)).then_some(()))
        })
    }

    /// Waits until the node reports the announcer that runs layer2, and returns the report.
    ///
    /// # Errors
    /// When there is no report in time.
    pub fn layer2_on(&self, node: usize) -> Result<Value> {
        let name = &self.lab.nodes[node].name;
        wait::until(&format!("a report of layer2 on {name}"), LIMIT, || {
            let reports = self.reports()?;
            let report = reports.iter().find(|report| report["node"] == **name);
            let announcer = report.and_then(|report| {
                list(report, "announcers").find(|entry| entry["plugin"] == "layer2")
            });
            Ok(announcer.cloned())
        })
    }

    /// Returns the reports of nodes whose daemon runs.
    fn reports(&self) -> Result<Vec<Value>> {
        let status = self.status()?;
        Ok(list(&status, "nodes")
            .filter(|node| node["running"] == true)
            .map(|node| node["report"].clone())
            .collect())
    }

    /// Returns all messages of the product until now.
    ///
    /// # Errors
    /// When `status` does not print JSON.
    pub fn said(&self) -> Result<BTreeSet<String>> {
        let mut messages = Vec::new();
        leaves(&self.status()?, &mut messages);
        let logs = self.daemons.iter().flatten().map(Daemon::log);
        Ok(messages
            .into_iter()
            .chain(logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()))
            .collect())
    }

    /// Waits until the product emits a message that is not in `before` and contains all of these words: an entry of `status`,
    /// or a line of a log. Returns the message.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn await_message(&self, before: &BTreeSet<String>, words: &[&str]) -> Result<String> {
        let has_all = |message: &&String| {
            let message = message.to_lowercase();
            words.iter().all(|word| message.contains(&word.to_lowercase()))
        };
        wait::until(&format!("a message with {words:?}"), LIMIT, || {
            Ok(self.said()?.difference(before).find(has_all).cloned())
        })
    }

    /// Waits until `status` no longer mentions a file.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_silence_about(&self, file: &str) -> Result<()> {
        wait::until(&format!("status no longer mentions {file}"), LIMIT, || {
            Ok((!self.status()?.to_string().contains(file)).then_some(()))
        })
    }

    /// Returns the daemons' last log lines and the output of `status`, for a failure.
    pub fn explain(&self) -> String {
        let mut text = match self.status() {
            Ok(status) => format!("status: {status:#}\n"),
            Err(error) => format!("status: {error:#}\n"),
        };
        for node in &self.lab.nodes {
            let log = fs::read_to_string(self.lab.folder().join(format!("{}.log", node.name)))
                .unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            text += &format!("end of the log of {}:\n", node.name);
            for line in &lines[lines.len().saturating_sub(30)..] {
                text += &format!("  {line}\n");
            }
        }
        text
    }
}

/// Returns the entries of a field.
fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

/// Collects every object without nested objects, as text, and every string.
fn leaves(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, into)),
        Value::Object(fields) => {
            if fields.values().all(|field| !field.is_object() && !field.is_array()) {
                into.push(value.to_string());
            }
            fields.values().for_each(|field| leaves(field, into));
        }
        _ => {}
    }
}
