//! The processes of the cluster: started in the background, known by files, ended by them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::state::State;

/// Between two looks at something that has no event.
const LOOK: Duration = Duration::from_millis(100);
/// How many bytes of a log an error shows.
const SHOWN: usize = 2000;

/// Starts a part of the cluster, unless it is there, with its output in its log.
pub(crate) fn start(state: &State, name: &str, command: &mut Command) -> Result<(), Error> {
    if is_alive(state, name) {
        return Ok(());
    }
    let path = state.path(format!("log/{name}.log"));
    let log = File::create(&path).map_err(Error::at(&path))?;
    let errors = log.try_clone().map_err(Error::at(&path))?;
    // A group of its own: who stops the recipe with the keyboard does not stop the cluster.
    command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    let child = command.spawn();
    let child = child
        .map_err(|error| Error::Program { program: name.to_owned(), why: error.to_string() })?;
    let path = state.path(format!("pid/{name}"));
    let id = child.id();
    let began = began(id).unwrap_or_default();
    fs::write(&path, format!("{id} {began}")).map_err(Error::at(&path))
}

/// Waits until something is so, and fails early when a part that it needs has ended.
pub(crate) fn wait(
    state: &State,
    what: &str,
    seconds: u64,
    needs: &[&str],
    mut is_so: impl FnMut() -> bool,
) -> Result<(), Error> {
    let begin = Instant::now();
    while !is_so() {
        for name in needs {
            if !is_alive(state, name) {
                return Err(ended(state, name));
            }
        }
        if begin.elapsed().as_secs() >= seconds {
            let logs = state.path("log");
            return Err(Error::Late { what: what.to_owned(), seconds, logs });
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn ended(state: &State, name: &str) -> Error {
    let log = state.path(format!("log/{name}.log"));
    let bytes = fs::read(&log).unwrap_or_default();
    let last = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN)..]).into_owned();
    Error::Ended { name: name.to_owned(), log, last }
}

/// Ends parts of the cluster: politely, and after three seconds without asking.
pub(crate) fn end(state: &State, names: &[&str]) {
    let known = names.iter().filter_map(|name| known(state, name));
    end_all(&known.collect::<Vec<_>>());
    for name in names {
        let _ = fs::remove_file(state.path(format!("pid/{name}")));
    }
}

/// Ends these processes.
pub(crate) fn end_all(processes: &[(Pid, u64)]) {
    signal(processes, Signal::TERM);
    let begin = Instant::now();
    while processes.iter().any(|one| is_same(*one)) {
        if begin.elapsed() > Duration::from_secs(3) {
            signal(processes, Signal::KILL);
            break;
        }
        thread::sleep(LOOK);
    }
}

fn signal(processes: &[(Pid, u64)], signal: Signal) {
    for one in processes.iter().filter(|one| is_same(**one)) {
        let _ = kill_process(one.0, signal);
    }
}

/// Whether a part of the cluster runs.
pub(crate) fn is_alive(state: &State, name: &str) -> bool {
    known(state, name).is_some()
}

/// The process of a part, if it is still the one that was started.
fn known(state: &State, name: &str) -> Option<(Pid, u64)> {
    let text = fs::read_to_string(state.path(format!("pid/{name}"))).ok()?;
    let (id, began) = text.split_once(' ')?;
    let one = (Pid::from_raw(id.parse().ok()?)?, began.parse().ok()?);
    is_same(one).then_some(one)
}

fn is_same((id, began_at): (Pid, u64)) -> bool {
    began(id.as_raw_nonzero().get().unsigned_abs()) == Some(began_at)
}

/// When a process began, in the kernel's ticks; `None` when it has ended.
pub(crate) fn began(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may have blanks and parentheses in it.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let ended = matches!(fields.next()?, "Z" | "X");
    if ended { None } else { fields.nth(18)?.parse().ok() }
}

/// Runs a program that must succeed and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output();
    let failed = |why: String| Error::Program { program: described(command), why };
    let output = match output {
        Ok(output) => output,
        Err(error) => return Err(failed(error.to_string())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}\n{}", output.status, said.trim_end())))
}

/// A program and its first arguments, without the path of the former.
pub(crate) fn described(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command.get_args().take(4).map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path()).unwrap();
        (dir, state)
    }

    #[test]
    fn a_process_is_started_once_and_ended() {
        let (_dir, state) = state();
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("1000");
            command
        };
        start(&state, "sleep", &mut sleep()).unwrap();
        let first = known(&state, "sleep").unwrap();
        start(&state, "sleep", &mut sleep()).unwrap();
        assert_eq!(known(&state, "sleep"), Some(first));
        end(&state, &["sleep"]);
        assert!(!is_same(first));
        assert!(!is_alive(&state, "sleep"));
    }

    #[test]
    fn another_process_under_an_old_number_is_left_alone() {
        let (_dir, state) = state();
        fs::write(state.path("pid/other"), format!("{} 1", std::process::id())).unwrap();
        assert!(!is_alive(&state, "other"));
        end(&state, &["other"]);
    }

    #[test]
    fn a_part_that_ended_is_told_with_its_last_words() {
        let (_dir, state) = state();
        let mut command = Command::new("sh");
        start(&state, "part", command.args(["-c", "echo why; exit 1"])).unwrap();
        let error = wait(&state, "a wonder", 60, &["part"], || false).unwrap_err();
        assert!(error.to_string().ends_with("why\n"), "{error}");
    }
}
