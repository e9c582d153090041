//! The child, played by this test binary and by the shell, and what its parent makes of its ends.
use super::*;

/// Starts the shell in the child's place.
fn shell(script: &str) -> Command {
    Command::new("/bin/sh".into(), vec!["-c".into(), script.into()])
}

fn end_of(script: &str) -> CompileError {
    shell(script).run(Path::new("in"), Path::new("out"), WALL).expect_err("it does not compile")
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
fn a_child_is_confined() {
    // The shell waits for its limit, which is set after it has started.
    shell("while [ \"$(ulimit -v)\" = unlimited ]; do :; done; [ \"$(ulimit -v)\" -eq 4194304 ]")
        .run(Path::new("in"), Path::new("out"), WALL)
        .expect("the limit is there");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = Command::new("/nonexistent/outrigger".into(), vec![])
        .run(Path::new("in"), Path::new("out"), WALL)
        .expect_err("there is nothing to run");
    assert!(error.to_string().contains("/nonexistent/outrigger"), "{error}");
}

#[test]
fn what_cannot_be_compiled_leaves_what_was_there() {
    let directory = tempfile::tempdir().expect("directory");
    let (input, output) = (directory.path().join("in.wasm"), directory.path().join("out.cwasm"));
    std::fs::write(&input, b"\0asm\x0d\0\x01\0 and then nonsense").expect("written");
    std::fs::write(&output, b"before").expect("written");
    assert!(matches!(compile(&input, &output), Err(CompileError::Refused(_))));
    assert_eq!(std::fs::read(&output).expect("there"), b"before");
    assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 2);
    let missing = compile(&directory.path().join("none"), &output).expect_err("no input");
    assert!(missing.to_string().starts_with("cannot read"), "{missing}");
}
