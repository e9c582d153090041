//! Creates Services as fast as the API server accepts them, or one by one, in the same way for every load balancer. It uses one
//! curl process with persistent connections: one process per request would measure process creation.
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_tests::clock;
use outrigger_tests::kubernetes::{Lab, web};
use serde_json::{Value, json};

/// Number of concurrent creations in a burst.
const IN_FLIGHT: &str = "8";
/// Rate of creation one by one: each Service has long been served when the next comes.
pub const RATE: &str = "4/s";

/// Pace of creation.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// [`IN_FLIGHT`] requests at a time.
    Parallel,
    /// One by one at [`RATE`].
    OneByOne,
}

/// Services that were created.
#[derive(Debug)]
pub struct Created {
    /// Moment before the first request.
    pub began: Instant,
    /// Time at which each creation was answered, in the order of the answers.
    pub answers: Vec<Instant>,
}

/// Creates this number of Services of type LoadBalancer, all in front of the Deployment `web`.
pub fn create(lab: &Lab, namespace: &str, count: usize, pace: Pace) -> Result<Created> {
    let mut curl = lab.curl();
    // Eight connections, not one that multiplexes eight requests.
    curl.args(["--http1.1", "--no-progress-meter", "--config", "-"]);
    match pace {
        Pace::Parallel => {
            curl.args(["--parallel", "--parallel-immediate", "--parallel-max", IN_FLIGHT])
        }
        Pace::OneByOne => curl.args(["--rate", RATE]),
    };
    let began = clock::now();
    let mut child = curl
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run curl")?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    stdin.write_all(configuration(lab, namespace, count).as_bytes())?;
    drop(stdin);
    let mut said = BufReader::new(child.stderr.take().context("a pipe was asked for")?);
    let (mut answers, mut line) = (Vec::with_capacity(count), String::new());
    while said.read_line(&mut line)? > 0 {
        let now = clock::now();
        if line.trim() != "201" {
            said.read_to_string(&mut line)?;
            break;
        }
        answers.push(now);
        line.clear();
    }
    let status = child.wait()?;
    ensure!(
        status.success() && answers.len() == count,
        "{} of {count} Services were created; {status}: {}",
        answers.len(),
        line.trim()
    );
    Ok(Created { began, answers })
}

/// Returns the configuration for curl(1), `--config`: the same body to the same address again and again, and an unbuffered line
/// for each answer.
fn configuration(lab: &Lab, namespace: &str, count: usize) -> String {
    let body = Value::from(service().to_string());
    let url = lab.url(&format!("/api/v1/namespaces/{namespace}/services"));
    let one = format!("url = \"{url}\"\noutput = \"/dev/null\"\n");
    format!("json = {body}\nwrite-out = \"%{{stderr}}%{{http_code}}\\n\"\n{}", one.repeat(count))
}

/// Returns a Service as most are: one family, one port. The API server generates its name.
fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "generateName": "s-" },
        "spec": {
            "type": "LoadBalancer",
            "selector": { "app": "web" },
            "ports": [{ "port": web::PORT, "targetPort": 8080 }],
        },
    })
}
