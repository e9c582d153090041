//! Node: containerd, kube-proxy and kubelet in a network, mount and process namespace of its own. When the first process of
//! that namespace ends, the kernel ends all others, containers included, and removes the mounts; so a node leaves nothing
//! behind, however it ends. It knows nothing of the other nodes but their networks.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::binaries::{Binaries, cni_plugins};
use super::certificates::Certificates;
use super::process::Process;
use super::segment::{FIRST, Member, pod_networks};
use crate::namespace::{Namespace, feed};
use crate::wait;

/// Time limit for a part of it to start.
const READY: Duration = Duration::from_secs(30);
const CGROUPS: &str = "/sys/fs/cgroup";
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Image of a pod's sandbox.
pub(super) const PAUSE: &str = "docker.io/local/pause:1";
/// Kernel parameters that kubelet sets on the machine (pkg/kubelet/cm, `setupKernelTunables`). A node sees files in their place
/// that already hold these values: the machine keeps its own.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Node of a laboratory.
#[derive(Debug, Clone)]
pub struct Node {
    number: u8,
    /// Folder of the node, `<laboratory>/n1`, which contains its `/var`.
    folder: PathBuf,
    namespace: Namespace,
    /// Name of its cgroup, `outrigger-<laboratory>-n1`, in every hierarchy.
    cgroup: String,
}

/// Value of `cpu.shares` of a node's control group.
const CPU_SHARES: &str = "32768";

impl Node {
    pub(super) fn new(number: u8, folder: &Path, namespace: Namespace) -> Self {
        let name = Member::Node(number).name();
        let cgroup = namespace.name().to_owned();
        Self { number, folder: folder.join(name), namespace, cgroup }
    }

    /// Returns its name: `n1`.
    pub fn name(&self) -> String {
        Member::Node(self.number).name()
    }

    /// Returns its network.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Starts `pause`, whose namespaces contain everything else, and containerd, and loads the images.
    pub(super) fn prepare(
        &self,
        certificates: &Certificates,
        pause: &Path,
        images: &[PathBuf],
    ) -> Result<()> {
        self.isolate(pause)?;
        self.make_cgroups()?;
        self.write_configuration(certificates)?;
        let mut containerd = self.command(Path::new("containerd"));
        containerd.arg("--config").arg(self.folder.join("containerd.toml"));
        self.process("containerd").start(&containerd)?;
        wait::until("containerd answers", READY, || {
            let mut version = self.command(Path::new("ctr"));
            let answers =
                version.args(["--address", CONTAINERD, "version"]).output()?.status.success();
            Ok(answers.then_some(()))
        })
        .with_context(|| self.process("containerd").log_tail())?;
        images.iter().try_for_each(|image| self.load(image))
    }

    /// Starts kube-proxy and kubelet: the node joins the cluster.
    pub(super) fn join(&self, binaries: &Binaries) -> Result<()> {
        let mut proxy = self.command(&binaries.path("kube-proxy"));
        proxy.arg("--config").arg(self.folder.join("kube-proxy.yaml"));
        self.process("kube-proxy").start(&proxy)?;
        let (four, six) = Member::Node(self.number).addresses(FIRST);
        let mut kubelet = self.command(&binaries.path("kubelet"));
        kubelet.arg("--kubeconfig").arg(self.kubeconfig("kubelet"));
        kubelet.arg("--config").arg(self.folder.join("kubelet.yaml"));
        kubelet.args(["--hostname-override", &self.name(), "--node-ip", &format!("{four},{six}")]);
        self.process("kubelet").start(&kubelet)
    }

    /// Returns a process of this node: `init`, `containerd`, `kube-proxy`, `kubelet`.
    pub fn process(&self, name: &str) -> Process {
        Process::at(&self.folder, name)
    }

    /// Returns a command that runs in all namespaces of this node.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.path().display()));
        if let Ok(init) = self.process("init").pid() {
            // unshare(1) is in the mount namespace it made, and its child in the process namespace.
            command.arg(format!("--mount=/proc/{init}/ns/mnt"));
            command.arg(format!("--pid=/proc/{init}/ns/pid_for_children"));
        }
        command.arg("--").arg(program);
        command
    }

    /// Adds a name to an image of this node.
    ///
    /// # Errors
    /// Returns the error of ctr.
    pub fn tag(&self, image: &str, name: &str) -> Result<()> {
        let mut command = self.command(Path::new("ctr"));
        command.args(["--address", CONTAINERD, "--namespace", "k8s.io", "images", "tag"]);
        feed(command.args(["--force", image, name]), b"").map(drop)
    }

    /// Imports an archive into containerd, under the names in it.
    ///
    /// # Errors
    /// Returns the error of ctr.
    pub fn load(&self, archive: &Path) -> Result<()> {
        let file = File::open(archive).with_context(|| format!("no {}", archive.display()))?;
        let mut command = self.command(Path::new("ctr"));
        command.args(["--address", CONTAINERD, "--namespace", "k8s.io", "images", "import", "-"]);
        // Through a pipe: the node does not see the machine's /var or /run.
        let output = command.stdin(Stdio::from(file)).output().context("cannot run ctr")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} cannot import {}: {}", self.name(), archive.display(), said.trim());
        }
        Ok(())
    }

    /// Ends all its processes and waits until only the network namespace is left.
    pub(super) fn kill(&self) -> Result<()> {
        self.process("init").kill()?;
        for hierarchy in hierarchies() {
            let cgroup = hierarchy.join(&self.cgroup);
            // A cgroup can be removed once the kernel has removed the last process in it.
            wait::until(&format!("{} is empty", cgroup.display()), READY, || {
                Ok(remove_cgroups(&cgroup).ok())
            })?;
        }
        Ok(())
    }

    /// Creates its own namespaces, with a `/var` in its folder and an empty `/run`.
    fn isolate(&self, pause: &Path) -> Result<()> {
        let folder = self.folder.display();
        let mut script = "set -e\nmount --make-rshared /\n".to_owned();
        for name in ["var/lib", "var/log", "var/tmp", "var/cache", "tunables"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        script += &format!("ln -sf /run {folder}/var/run\n");
        script += &format!("mount --bind {folder}/var /var\nmount -t tmpfs tmpfs /run\n");
        for (tunable, value) in TUNABLES {
            let file = self.folder.join("tunables").join(tunable.replace('/', "."));
            fs::write(&file, format!("{value}\n"))?;
            script += &format!("mount --bind {} /proc/sys/{tunable}\n", file.display());
        }
        script += &format!("touch {folder}/isolated\nexec {}\n", pause.display());
        let mut command = self.namespace.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.args(["sh", "-c", &script]);
        let init = self.process("init");
        init.start(&command)?;
        wait::until("the node's namespaces", READY, || {
            init.pid()?;
            Ok(self.folder.join("isolated").exists().then_some(()))
        })
    }

    /// Creates a subtree of its own in every hierarchy: kubelets that share one treat each other's pods as orphans.
    fn make_cgroups(&self) -> Result<()> {
        let root = Path::new(CGROUPS);
        if root.join("cgroup.controllers").is_file() {
            // Where this process has no permission, the controllers are enabled already or kubelet reports what is missing.
            let _ =
                fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +pids +cpuset +io");
        }
        for hierarchy in hierarchies() {
            let cgroup = hierarchy.join(&self.cgroup);
            fs::create_dir_all(&cgroup)
                .with_context(|| format!("cannot make {}", cgroup.display()))?;
            // Other work on this machine must not starve the cluster: its pods compete inside this group. 1024 is the value of
            // every other group.
            let shares = cgroup.join("cpu.shares");
            if shares.is_file() {
                fs::write(shares, CPU_SHARES)?;
            }
            // In cgroup v1 a new cpuset is empty, and nothing can run in it (cpuset(7)).
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if hierarchy.ends_with("cpuset") {
                    fs::copy(hierarchy.join(file), cgroup.join(file))?;
                }
            }
        }
        Ok(())
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join(user).with_extension("kubeconfig")
    }

    fn write_configuration(&self, certificates: &Certificates) -> Result<()> {
        let name = self.name();
        let kubelet = certificates.kubeconfig(
            &format!("kubelet-{name}"),
            &format!("system:node:{name}"),
            "system:nodes",
        )?;
        fs::rename(kubelet, self.kubeconfig("kubelet"))?;
        let proxy =
            certificates.kubeconfig(&format!("kube-proxy-{name}"), "system:kube-proxy", "")?;
        fs::rename(proxy, self.kubeconfig("kube-proxy"))?;
        let authority = certificates.file("ca.crt");
        let files = [
            ("containerd.toml", self.containerd()?),
            ("pods.conflist", self.pod_network()),
            ("kubelet.yaml", self.kubelet(&authority)),
            ("kube-proxy.yaml", self.kube_proxy()),
        ];
        fs::create_dir_all(self.folder.join("cni"))?;
        for (file, text) in files {
            let folder = if file.ends_with("conflist") { "cni" } else { "" };
            fs::write(self.folder.join(folder).join(file), text)?;
        }
        Ok(())
    }

    fn containerd(&self) -> Result<String> {
        let plugins =
            cni_plugins().context("no CNI plugins; install containernetworking-plugins")?;
        let folder = self.folder.display();
        // Without CAP_SYS_RESOURCE, as in many containers, runc cannot lower an OOM score and exits.
        Ok(format!(
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"#
        ))
    }

    fn pod_network(&self) -> String {
        let (four, six) = pod_networks(self.number);
        format!(
            r#"{{"cniVersion":"0.4.0","name":"pods","plugins":[{{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,
"ipam":{{"type":"host-local","ranges":[[{{"subnet":"{four}"}}],[{{"subnet":"{six}"}}]],"routes":[{{"dst":"0.0.0.0/0"}},{{"dst":"::/0"}}]}}}}]}}
"#
        )
    }

    fn kubelet(&self, authority: &Path) -> String {
        let (four, six) = pod_networks(self.number);
        let (cgroup, authority) = (&self.cgroup, authority.display());
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {authority}}}}}
authorization: {{mode: Webhook}}
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
enforceNodeAllocatable: []
failSwapOn: false
containerRuntimeEndpoint: unix://{CONTAINERD}
podCIDR: \"{four},{six}\"
resolvConf: \"\"
evictionHard: {{}}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
"
        )
    }

    fn kube_proxy(&self) -> String {
        format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {}}}
mode: nftables
clusterCIDR: 10.244.0.0/16,fd44::/48
hostnameOverride: {}
conntrack: {{maxPerCore: 0}}
",
            self.kubeconfig("kube-proxy").display(),
            self.name(),
        )
    }
}

/// Returns the roots of cgroups: one in version 2, one for every controller in version 1 (cgroups(7)).
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUPS);
    if root.join("cgroup.controllers").is_file() {
        return vec![root];
    }
    let folders = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    folders
        .filter(|path| path.is_dir() && !path.is_symlink() && !path.ends_with("unified"))
        .collect()
}

fn remove_cgroups(cgroup: &Path) -> Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_cgroups(&path)?;
        }
    }
    fs::remove_dir(cgroup).with_context(|| format!("cannot remove {}", cgroup.display()))
}
