//! `outrigger why`: explains why a Service has its address and which node answers for it, or why not.
use std::net::IpAddr;
use std::process::ExitCode;

use outrigger_core::allocation::PoolOutcome;
use outrigger_core::facts::ServiceKey;
use outrigger_core::plan::{AddressWhy, NodeRole};
use outrigger_core::why::Why;
use outrigger_kube::api;
use serde_json::{Value, json};

use crate::args::{self, Output};
use crate::config::Config;
use crate::snapshot::ClusterSnapshot;

/// Explains one Service, or every Service that holds an address.
pub fn why(config: &Config, flags: &args::Why) -> anyhow::Result<ExitCode> {
    let picture = ClusterSnapshot::take(config, flags.asked.api.context.as_deref())?;
    let keys = match flags.subject.parse::<IpAddr>() {
        Ok(address) => match picture.inputs.holders(address) {
            Ok(keys) => keys,
            Err(sentence) => {
                say(flags.asked.output, &sentence, Vec::new());
                return Ok(ExitCode::SUCCESS);
            }
        },
        Err(_) => vec![key(&flags.subject, flags.namespace.as_deref(), &picture)],
    };
    let mut whys = Vec::new();
    for key in &keys {
        match picture.inputs.service(key) {
            Some(why) => whys.push(why),
            None => {
                let sentence = not_ours(config, flags.asked.api.context.as_deref(), key, &picture)?;
                say(flags.asked.output, &sentence, Vec::new());
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let texts: Vec<String> = whys.iter().map(ToString::to_string).collect();
    say(flags.asked.output, &texts.join("\n"), whys.iter().map(as_json).collect());
    Ok(ExitCode::SUCCESS)
}

/// Parses `namespace/name` or `name`, each with an optional `service/` prefix as kubectl prints it.
fn key(subject: &str, namespace: Option<&str>, picture: &ClusterSnapshot) -> ServiceKey {
    let subject = ["service/", "services/", "svc/"]
        .iter()
        .find_map(|prefix| subject.strip_prefix(prefix))
        .unwrap_or(subject);
    let (namespace, name) = match subject.split_once('/') {
        Some((namespace, name)) => (namespace, name),
        None => (namespace.unwrap_or(&picture.namespace), subject),
    };
    ServiceKey::new(namespace, name)
}

/// Explains why there is no such Service among those that Outrigger serves.
fn not_ours(
    config: &Config,
    context: Option<&str>,
    key: &ServiceKey,
    picture: &ClusterSnapshot,
) -> anyhow::Result<String> {
    if !picture.is_cluster {
        let others: Vec<String> =
            picture.inputs.cluster.services.keys().map(ToString::to_string).collect();
        anyhow::bail!(
            "there is no Service {key} of type LoadBalancer in the folder; there are: {}",
            others.join(", ")
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let service = runtime.block_on(async {
        let (client, _) = api::connect_as(config.kubeconfig.as_deref(), context).await?;
        anyhow::Ok(api::service(&client, key).await?)
    })?;
    let Some(service) = service else {
        anyhow::bail!("there is no Service {key}: name it as NAMESPACE/NAME, or with -n NAMESPACE");
    };
    let spec = service.spec.unwrap_or_default();
    let kind = spec.type_.unwrap_or_else(|| "ClusterIP".to_owned());
    Ok(match (kind.as_str(), spec.load_balancer_class) {
        ("LoadBalancer", Some(class)) => format!(
            "Service {key} belongs to another load balancer: its loadBalancerClass is {class:?}. To serve it with Outrigger, add the class to OUTRIGGER_SERVICES__CLASSES, or recreate the Service without the class, which cannot be changed."
        ),
        ("LoadBalancer", None) => format!(
            "Service {key} is not served: it has no loadBalancerClass, and OUTRIGGER_SERVICES__UNCLASSED is false. Recreate it with loadBalancerClass: outrigger.dev/lb."
        ),
        _ => format!(
            "Service {key} has no address because its type is {kind}. To give it one: kubectl -n {} patch service {} -p '{{\"spec\":{{\"type\":\"LoadBalancer\"}}}}'",
            key.namespace(),
            key.name()
        ),
    })
}

fn say(output: Output, text: &str, whys: Vec<Value>) {
    match output {
        Output::Table => println!("{}", text.trim_end()),
        Output::Json if whys.is_empty() => {
            println!("{}", json!({ "message": text, "services": [] }))
        }
        Output::Json => println!("{}", json!({ "services": whys })),
    }
}

fn as_json(why: &Why) -> Value {
    let pools = why.pools.iter().map(|one| {
        let outcome = match one.outcome {
            PoolOutcome::Gave => "gave",
            PoolOutcome::NotNeeded => "not-needed",
            PoolOutcome::Undecided => "undecided",
            PoolOutcome::Refused => "refused",
            PoolOutcome::OnRequest => "on-request",
            PoolOutcome::NotForItsNamespace | PoolOutcome::NotForIt => "not-for-it",
            PoolOutcome::NothingToGive => "nothing-to-give",
        };
        json!({ "name": one.pool, "outcome": outcome, "message": one.message, "fixes": one.fixes })
    });
    let said = why.said.as_ref().map(|said| {
        let condition = &said.condition;
        json!({
            "allocated": condition.status, "reason": condition.reason, "message": condition.message,
            "since": said.since,
        })
    });
    json!({
        "namespace": why.service.namespace(), "name": why.service.name(), "well": why.is_well(),
        "message": why.headline, "fixes": why.fixes, "asks": why.asked, "controller": said,
        "pools": pools.collect::<Vec<_>>(),
        "addresses": why.addresses.iter().map(address_json).collect::<Vec<_>>(),
    })
}

fn address_json(why: &AddressWhy) -> Value {
    let nodes = why.nodes.iter().map(|(name, one)| {
        let role = match one.role {
            NodeRole::Answers => "answers",
            NodeRole::Fails => "fails",
            NodeRole::Stands => "stands-by",
            NodeRole::PassedOver => "passed-over",
        };
        json!({
            "name": name, "role": role, "message": one.message, "error": one.error, "fixes": one.fixes,
        })
    });
    json!({
        "address": why.address, "message": why.headline, "answeredBy": why.answered_by,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}
