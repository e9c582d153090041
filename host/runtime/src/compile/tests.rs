//! Tests of the child, played by this test binary and by the shell, and of how its parent handles the ways it ends.
use super::*;

/// Returns a command that starts the shell in place of the child.
fn shell(script: &str) -> Command {
    Command::new("/bin/sh".into(), vec!["-c".into(), script.into()])
}

fn end_of(script: &str) -> CompileError {
    shell(script).run(Path::new("in"), Path::new("out"), WITHIN).expect_err("it does not compile")
}

#[test]
fn a_child_that_ends_badly_is_quoted() {
    let error = end_of("echo thread main panicked >&2; exit 101");
    let expected = CompileError::Failed {
        status: "exit status: 101".into(),
        words: "thread main panicked".into(),
    };
    assert_eq!(error, expected);
    assert!(
        matches!(end_of("kill -KILL $$"), CompileError::Failed { status, .. } if status.contains("signal: 9"))
    );
}

#[test]
fn a_child_that_talks_without_end_is_quoted_in_part() {
    let error =
        end_of("i=0; while [ $i -lt 3000 ]; do echo 0123456789 >&2; i=$((i+1)); done; exit 1");
    assert!(matches!(error, CompileError::Failed { words, .. } if words.len() <= 4096));
}

#[test]
fn a_child_that_does_not_end_is_killed() {
    let error = shell("while :; do :; done")
        .run(Path::new("in"), Path::new("out"), Duration::from_millis(20))
        .expect_err("it is too slow");
    assert_eq!(error, CompileError::TimedOut { seconds: 0 });
}

#[test]
fn a_child_that_says_no_more_and_does_not_end_is_killed() {
    let error = shell("exec 2>&-; while :; do :; done")
        .run(Path::new("in"), Path::new("out"), Duration::from_millis(50))
        .expect_err("it is too slow");
    assert_eq!(error, CompileError::TimedOut { seconds: 0 });
}

#[test]
fn what_a_child_had_too_little_of_is_named() {
    assert_eq!(end_of("kill -XCPU $$"), CompileError::TimedOut { seconds: 60 });
    let error = end_of("echo memory allocation of 99 bytes failed >&2; kill -ABRT $$");
    assert!(matches!(error, CompileError::Memory { mib } if mib > 0), "{error}");
}

/// Runs in a process of its own, started by the next test: the limits apply to the process.
#[test]
fn a_confined_process() {
    if std::env::var_os(CONFINED).is_none() {
        return;
    }
    let open = std::fs::File::open("/proc/self/status").expect("before");
    let lacking = confine::confine(7);
    let refused = |what: &str, result: std::io::Result<()>| {
        let error = result.err().and_then(|error| error.raw_os_error());
        assert!(matches!(error, Some(1 | 13)), "{what} ended with {error:?}");
    };
    refused("reading", std::fs::read("/etc/hostname").map(drop));
    refused("writing", std::fs::write("/tmp/outrigger-confined", "x"));
    refused("removing", std::fs::remove_file("/tmp/outrigger-confined"));
    refused("a TCP socket", std::net::TcpListener::bind("127.0.0.1:0").map(drop));
    refused("a Unix socket", std::os::unix::net::UnixDatagram::unbound().map(drop));
    refused("a program", process::Command::new("/bin/true").status().map(drop));
    std::thread::spawn(|| std::fs::read("/etc/hostname").expect_err("nor can a thread"))
        .join()
        .expect("a thread can be started");
    let status = std::io::read_to_string(open).expect("what is open stays open");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim_matches([':', ' ', '\t']).to_owned()
    };
    // Belongs to the thread that opened it, which may or may not be the process's first thread here.
    assert!(["0", "1"].contains(&field("NoNewPrivs").as_str()));
    let limits = |resource| rustix::process::getrlimit(resource).current.expect("a limit");
    assert_eq!(limits(rustix::process::Resource::Cpu), 7);
    assert!(limits(rustix::process::Resource::Data) <= 4 << 30);
    assert!(caps::read(None, caps::CapSet::Permitted).is_ok_and(|them| them.is_empty()));
    println!("{CONFINED} {lacking:?}");
}

const CONFINED: &str = "OUTRIGGER_TEST_CONFINED";

#[test]
fn a_child_can_do_nothing_but_compute() {
    let output = process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "compile::tests::a_confined_process", "--nocapture"])
        .env(CONFINED, "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lacking = said.lines().find_map(|line| line.strip_prefix(CONFINED)).expect("it was run");
    assert!(!lacking.contains("seccomp") && !lacking.contains("limits"), "{lacking}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = Command::new("/nonexistent/outrigger".into(), vec![])
        .run(Path::new("in"), Path::new("out"), WITHIN)
        .expect_err("there is nothing to run");
    assert!(error.to_string().contains("/nonexistent/outrigger"), "{error}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().expect("directory");
    let output = directory.path().join("out.cwasm");
    let missing = compile(&directory.path().join("none"), &output).expect_err("no input");
    assert!(missing.to_string().starts_with("cannot read"), "{missing}");
}
