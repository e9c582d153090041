//! The compiling child confines itself before it processes its input: an attacker who takes over the compiler finds no
//! file, no socket, no capability and no memory but what the daemon leaves. Knows nothing of compiling.
use std::collections::BTreeMap;
use std::path::Path;

use caps::CapSet;
use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus};
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use seccompiler::{SeccompAction, SeccompFilter};

/// Limit of the address space, in bytes; the largest known component needs 376 MiB resident.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Bytes of the control group's remaining memory that are reserved for the daemon.
const RESERVE: u64 = 64 << 20;
/// Least memory of the child, in bytes: with less it cannot report its own failure.
const LEAST: u64 = 32 << 20;
/// Nice level of the child. Not the lowest priority: next to programs that are always busy it would not finish in time.
const PRIORITY: i32 = 10;

/// Confines this thread and those that it starts; the resource limits apply to the process. `seconds` of processor time
/// are left. Returns messages about the restrictions that are not available here: an older kernel has no Landlock.
pub(crate) fn confine(seconds: u64) -> Vec<String> {
    let steps = [
        ("resource limits", limit(seconds)),
        ("dropped capabilities", drop_capabilities()),
        ("Landlock", forbid_files()),
        ("seccomp", forbid_calls()),
    ];
    let failed = |(what, done): (&str, Result<(), String>)| {
        done.err().map(|error| format!("the compiler runs without {what}: {error}"))
    };
    steps.into_iter().filter_map(failed).collect()
}

fn limit(seconds: u64) -> Result<(), String> {
    // The serving daemon has priority: when compilers delay its gossip, other nodes consider it dead.
    setpriority_process(None, PRIORITY).map_err(|error| error.to_string())?;
    // The kernel sends SIGXCPU at the soft limit and kills the process without a message at the hard limit.
    let cpu = Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(1)) };
    setrlimit(Resource::Cpu, cpu).map_err(|error| error.to_string())?;
    for (resource, most) in
        [(Resource::As, ADDRESS_SPACE), (Resource::Data, memory()), (Resource::Core, 0)]
    {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}

fn drop_capabilities() -> Result<(), String> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Forbids access to files and to the network, and sets `no_new_privs`. Open files stay open.
fn forbid_files() -> Result<(), String> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel does not support it".to_owned()),
        _ => Ok(()),
    }
}

/// Forbids system calls by a list of refused calls, not of allowed ones: the calls of a compiler, its threads and the C
/// library differ from one version to the next, and none of the remaining ones reaches beyond the process.
fn forbid_calls() -> Result<(), String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|_| "not supported on this processor")?;
    let rules = DENIED.iter().map(|call| (*call, vec![])).collect::<BTreeMap<_, _>>();
    let refuse = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let program: seccompiler::BpfProgram =
        filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

const DENIED: &[i64] = &[
    // Sockets.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Programs, and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // Files, where the kernel has no Landlock.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Ways around these restrictions.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Returns the number of bytes that a compiler may use here: the remaining memory of the control group, minus the
/// daemon's reserve.
pub(crate) fn memory() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = left(&groups, Path::new("/sys/fs/cgroup"));
    left.map_or(ADDRESS_SPACE, |left| left.saturating_sub(RESERVE).clamp(LEAST, ADDRESS_SPACE))
}

/// Returns the least remaining memory of the groups named in `groups` (as in /proc/self/cgroup) and of those above
/// them, of v2 and of v1.
fn left(groups: &str, root: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            it if it.split(',').any(|one| one == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => continue,
        };
        // In a container without a cgroup namespace the path is not mounted: its own group is then the root.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            least = least.into_iter().chain(left_in(&root.join(group), files)).min();
        }
    }
    least
}

/// Returns the remaining memory of one group: page cache that can be reclaimed does not count as used. `None` without a
/// limit.
fn left_in(group: &Path, [most, used, forgettable]: [&str; 3]) -> Option<u64> {
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
    };
    let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(forgettable)?.trim().parse().ok());
    let used = number(used)?.saturating_sub(cached.unwrap_or(0));
    Some(number(most)?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_that_of_the_tightest_group_of_either_version() {
        let root = tempfile::tempdir().expect("directory");
        let put = |group: &str, files: &[(&str, &str)]| {
            let group = root.path().join(group);
            std::fs::create_dir_all(&group).expect("made");
            for (file, text) in files {
                std::fs::write(group.join(file), text).expect("written");
            }
        };
        put("kubepods", &[("memory.max", "1000"), ("memory.current", "600")]);
        let stat = "anon 100\ninactive_file 50\nactive_file 7\n";
        put(
            "kubepods/pod",
            &[("memory.max", "max"), ("memory.current", "300"), ("memory.stat", stat)],
        );
        assert_eq!(left("0::/kubepods/pod\n", root.path()), Some(400), "a group above has less");
        put("kubepods/pod", &[("memory.max", "500\n")]);
        assert_eq!(left("0::/kubepods/pod\n", root.path()), Some(250));
        assert_eq!(left("0::/elsewhere\n", root.path()), None, "no limit");
        let stat = "inactive_file 1\ntotal_inactive_file 30\n";
        let v1 = [("memory.limit_in_bytes", "200"), ("memory.usage_in_bytes", "130")];
        put("memory", &v1);
        put("memory", &[("memory.stat", stat)]);
        let groups = "9:cpu,cpuacct:/x\n5:memory:/docker/not-mounted-here\n";
        assert_eq!(left(groups, root.path()), Some(100));
    }
}
