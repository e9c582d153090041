//! etcd, the API server, the controller-manager and the scheduler, in the namespace `cp`. Each can be stopped, killed and
//! started again. Independent of nodes.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::binaries::Binaries;
use super::certificates::Certificates;
use super::process::Process;
use super::segment::{FIRST, Member};
use crate::namespace::{Namespace, feed};
use crate::wait;

/// Time limit for one of them to be ready.
const READY: Duration = Duration::from_secs(60);
const ETCD: &str = "http://127.0.0.1:2379";
/// Service addresses of the cluster.
const SERVICES: &str = "10.96.0.0/16,fd96::/112";
/// Time without a report from its kubelet after which a node is NotReady. The default is 50 s; tests wait for it.
const NODE_GRACE: &str = "20s";
/// Content of the audit log for each request: user, request, time, and status code (Kubernetes, "Auditing").
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n";

/// Control plane of a laboratory.
#[derive(Debug)]
pub struct ControlPlane<'a> {
    folder: PathBuf,
    namespace: Namespace,
    certificates: Certificates,
    binaries: &'a Binaries,
}

impl<'a> ControlPlane<'a> {
    pub(super) fn new(folder: &Path, namespace: Namespace, binaries: &'a Binaries) -> Self {
        let certificates = Certificates::at(&folder.join("certificates"));
        Self { folder: folder.to_path_buf(), namespace, certificates, binaries }
    }

    /// Starts etcd and the API server, and waits until the API server is ready.
    ///
    /// # Errors
    /// When that does not happen in time, with the end of its log.
    pub fn start(&self) -> Result<()> {
        std::fs::write(self.folder.join("audit-policy.yaml"), AUDIT_POLICY)?;
        self.etcd().start(&self.etcd_command())?;
        self.apiserver().start(&self.apiserver_command())?;
        self.await_ready()
    }

    /// Starts the controller-manager and the scheduler.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start_controllers(&self) -> Result<()> {
        self.controller_manager().start(&self.controller_manager_command()?)?;
        let mut scheduler = self.command("kube-scheduler");
        let user = "system:kube-scheduler";
        scheduler.arg("--kubeconfig").arg(self.certificates.kubeconfig("scheduler", user, "")?);
        self.scheduler().start(scheduler.arg("--leader-elect=false"))
    }

    /// Waits until the API server reports that it is ready, etcd included.
    ///
    /// # Errors
    /// When that does not happen in time, with the end of its log.
    pub fn await_ready(&self) -> Result<()> {
        let url = format!("https://{}:6443/readyz", Member::ControlPlane.addresses(FIRST).0);
        let ready = wait::until("the API server is ready", READY, || {
            let mut command = self.namespace.command("curl");
            command.args(["--silent", "--fail", "--max-time", "2", "--cacert"]);
            command.arg(self.certificates.file("ca.crt")).arg(&url);
            let ready = command.output().context("cannot run curl")?.stdout == b"ok";
            if !ready {
                // Each query costs a process, and the API server needs the processor more.
                std::thread::sleep(Duration::from_millis(40));
                self.apiserver().pid()?;
            }
            Ok(ready.then_some(()))
        });
        ready.with_context(|| {
            format!(
                "log of etcd:\n{}\nlog of the API server:\n{}",
                self.etcd().log_tail(),
                self.apiserver().log_tail()
            )
        })
    }

    /// Sends SIGSTOP to the API server: connections stay open and get no answer.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause_apiserver(&self) -> Result<()> {
        self.apiserver().signal(Signal::SIGSTOP)
    }

    /// Sends SIGCONT to the API server.
    ///
    /// # Errors
    /// When it does not run, or does not get ready.
    pub fn resume_apiserver(&self) -> Result<()> {
        self.apiserver().signal(Signal::SIGCONT)?;
        self.await_ready()
    }

    /// Sends SIGKILL to the API server: every connection breaks.
    ///
    /// # Errors
    /// When the kernel does not end it.
    pub fn kill_apiserver(&self) -> Result<()> {
        self.apiserver().kill()
    }

    /// Starts the API server again.
    ///
    /// # Errors
    /// When it runs, or does not get ready.
    pub fn restart_apiserver(&self) -> Result<()> {
        self.apiserver().start(&self.apiserver_command())?;
        self.await_ready()
    }

    /// Sends SIGKILL to etcd.
    ///
    /// # Errors
    /// When the kernel does not end it.
    pub fn kill_etcd(&self) -> Result<()> {
        self.etcd().kill()
    }

    /// Sends SIGTERM to etcd.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop_etcd(&self) -> Result<()> {
        self.etcd().stop()
    }

    /// Starts etcd again with its existing data.
    ///
    /// # Errors
    /// When it runs, or the API server does not get ready.
    pub fn restart_etcd(&self) -> Result<()> {
        self.etcd().start(&self.etcd_command())?;
        self.await_ready()
    }

    /// Makes etcd compact its history up to now, as it does by itself every few minutes.
    ///
    /// # Errors
    /// Returns the error of etcd.
    pub fn compact_etcd(&self) -> Result<()> {
        let ask = |path: &str, body: Value| -> Result<Value> {
            let mut curl = self.namespace.command("curl");
            curl.args(["--silent", "--show-error", "--fail", "--data"]).arg(body.to_string());
            let answer = feed(curl.arg(format!("{ETCD}/v3/{path}")), b"")?;
            serde_json::from_str(&answer).with_context(|| format!("etcd answers {answer:?}"))
        };
        let status = ask("maintenance/status", json!({}))?;
        let revision = &status["header"]["revision"];
        ask("kv/compaction", json!({ "revision": revision, "physical": true })).map(drop)
    }

    /// Sends SIGKILL to the whole control plane.
    ///
    /// # Errors
    /// When the kernel does not end one of them.
    pub fn kill(&self) -> Result<()> {
        [self.scheduler(), self.controller_manager(), self.apiserver(), self.etcd()]
            .iter()
            .try_for_each(Process::kill)
    }

    /// Returns the process of etcd.
    pub fn etcd(&self) -> Process {
        Process::at(&self.folder, "etcd")
    }

    /// Returns the process of the API server.
    pub fn apiserver(&self) -> Process {
        Process::at(&self.folder, "apiserver")
    }

    /// Returns the process of the controller-manager.
    pub fn controller_manager(&self) -> Process {
        Process::at(&self.folder, "controller-manager")
    }

    /// Returns the process of the scheduler.
    pub fn scheduler(&self) -> Process {
        Process::at(&self.folder, "scheduler")
    }

    fn command(&self, program: &str) -> Command {
        self.namespace.command(self.binaries.path(program))
    }

    fn etcd_command(&self) -> Command {
        let mut command = self.command("etcd");
        command.arg("--data-dir").arg(self.folder.join("etcd"));
        // The page cache survives the death of a process, which is the only failure that a laboratory simulates.
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
        command.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
        command
    }

    fn apiserver_command(&self) -> Command {
        let mut command = self.command("kube-apiserver");
        let address = Member::ControlPlane.addresses(FIRST).0;
        command.args(["--etcd-servers", ETCD, "--service-cluster-ip-range", SERVICES]);
        command.args(["--advertise-address", &address, "--allow-privileged"]);
        command.args(["--authorization-mode", "Node,RBAC"]);
        command.args(["--enable-admission-plugins", "NodeRestriction"]);
        command.args(["--kubelet-preferred-address-types", "InternalIP"]);
        // No kube-proxy runs beside it: a webhook's Service is reached through its endpoints.
        command.arg("--enable-aggregator-routing");
        command.args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"]);
        for (flag, file) in [
            ("--tls-cert-file", "apiserver.crt"),
            ("--tls-private-key-file", "apiserver.key"),
            ("--client-ca-file", "ca.crt"),
            ("--kubelet-client-certificate", "admin.crt"),
            ("--kubelet-client-key", "admin.key"),
            ("--service-account-key-file", "service-accounts.pub"),
            ("--service-account-signing-key-file", "service-accounts.key"),
        ] {
            command.arg(flag).arg(self.certificates.file(file));
        }
        command.arg("--audit-policy-file").arg(self.folder.join("audit-policy.yaml"));
        command.arg("--audit-log-path").arg(self.folder.join("audit.log"));
        // In megabytes: never rotated, so that a position in the file stays valid.
        command.args(["--audit-log-maxsize", "100000"]);
        command
    }

    fn controller_manager_command(&self) -> Result<Command> {
        let mut command = self.command("kube-controller-manager");
        let user = "system:kube-controller-manager";
        command.arg("--kubeconfig").arg(self.certificates.kubeconfig(
            "controller-manager",
            user,
            "",
        )?);
        command.args(["--leader-elect=false", "--use-service-account-credentials"]);
        command.args(["--node-monitor-grace-period", NODE_GRACE]);
        command.arg("--root-ca-file").arg(self.certificates.file("ca.crt"));
        let key = self.certificates.file("service-accounts.key");
        command.arg("--service-account-private-key-file").arg(key);
        Ok(command)
    }
}
