//! Creates Services as quickly as the API server takes them, or one by one, the same for every load balancer. One curl
//! with connections that stay open: a process for each would measure processes.
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_tests::clock;
use outrigger_tests::kubernetes::{Lab, web};
use serde_json::{Value, json};

/// How many creations are under way at once in a burst.
const IN_FLIGHT: &str = "8";
/// One by one, so many are created in a time: each has long been served when the next comes.
pub const RATE: &str = "4/s";

/// How quickly.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// [`IN_FLIGHT`] at a time.
    Parallel,
    /// At [`RATE`].
    OneByOne,
}

/// Services that were created.
#[derive(Debug)]
pub struct Created {
    /// Before the first was asked for.
    pub began: Instant,
    /// When each creation was answered, in the order of the answers.
    pub answers: Vec<Instant>,
}

/// Creates so many Services of type LoadBalancer, all in front of the Deployment `web`.
pub fn create(lab: &Lab, namespace: &str, count: usize, pace: Pace) -> Result<Created> {
    let mut curl = lab.curl();
    // Eight connections, not one that carries eight requests.
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

/// For curl(1), `--config`: the same body to the same address, again and again, and a line for each answer where it is
/// not kept back in a buffer.
fn configuration(lab: &Lab, namespace: &str, count: usize) -> String {
    let body = Value::from(service().to_string());
    let url = lab.url(&format!("/api/v1/namespaces/{namespace}/services"));
    let one = format!("url = \"{url}\"\noutput = \"/dev/null\"\n");
    format!("json = {body}\nwrite-out = \"%{{stderr}}%{{http_code}}\\n\"\n{}", one.repeat(count))
}

/// As most Services are: one family, one port. Its name is the API server's choice.
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
