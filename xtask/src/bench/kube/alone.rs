//! Measures one write of a Service's status on this machine without a load balancer. Every load balancer needs at least one
//! such write, so none can be faster than this; the rest of its time is its own.
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::namespace::feed;
use serde_json::json;

use super::creator::RATE;
use super::figure::{Figure, distribution};

const NAME: &str = "alone";
const WRITES: usize = 50;

/// Measures the writes one by one, at the pace at which Services are created one by one, from the request to its answer.
pub fn measure(lab: &Lab, namespace: &str) -> Result<Figure> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": NAME, "namespace": namespace },
        "spec": { "ports": [{ "port": 80 }] },
    });
    lab.apply(&service.to_string())?;
    let conditions = ["A", "B"].map(|letter| {
        let kind = format!("example.com/{letter}");
        let since = "2026-01-01T00:00:00Z";
        json!({ "type": kind, "status": "True", "reason": "A", "message": "", "lastTransitionTime": since })
    });
    let status = json!({ "status": { "conditions": conditions } }).to_string();
    let object = ["service", NAME, "--namespace", namespace];
    let patch = ["--subresource=status", "--type=merge", "--patch", &status];
    lab.kubectl(&[&["patch"], &object[..], &patch[..]].concat())?;

    let mut curl = lab.curl();
    curl.args(["--http1.1", "--rate", RATE, "--config", "-"]);
    let said = feed(&mut curl, configuration(lab, namespace).as_bytes())?;
    lab.kubectl(&[&["delete"], &object[..]].concat())?;
    let seconds = |line: &str| line.parse().map(Duration::from_secs_f64);
    let times = said.lines().map(seconds).collect::<Result<Vec<_>, _>>();
    let mut times = times.with_context(|| format!("unexpected output of curl: {said:?}"))?;
    times.sort_unstable();
    distribution("a status write alone", "writes", &times)
}

/// Returns the configuration for curl(1), `--config`: the same request again and again, which changes the object each time
/// because it swaps the two conditions.
fn configuration(lab: &Lab, namespace: &str) -> String {
    let (from, path) = ("/status/conditions/0", "/status/conditions/1");
    let swap = json!([{ "op": "move", "from": from, "path": path }]);
    let url = lab.url(&format!("/api/v1/namespaces/{namespace}/services/{NAME}/status"));
    let one = format!("url = \"{url}\"\noutput = \"/dev/null\"\n");
    format!(
        "request = \"PATCH\"\nheader = \"Content-Type: application/json-patch+json\"\ndata = {}\nwrite-out = \
         \"%{{time_total}}\\n\"\n{}",
        serde_json::Value::from(swap.to_string()),
        one.repeat(WRITES)
    )
}
