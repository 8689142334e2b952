//! Why a JVM ended, in words.

use std::collections::VecDeque;

use pilotfish_process::ExitStatus;

use super::launcher::CANNOT_RENUMBER;

/// How many of its last words are kept.
const KEPT_LINES: usize = 12;

/// What `-XX:+ExitOnOutOfMemoryError` exits with.
const OUT_OF_MEMORY_EXIT: i32 = 3;

const SIGKILL: i32 = 9;

/// What a JVM wrote to standard error that tells why it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    lines: VecDeque<String>,
    out_of_memory: Option<String>,
}

impl LastWords {
    /// Takes a line.
    pub(crate) fn add(&mut self, line: &str) {
        if let Some(at) = line.find("java.lang.OutOfMemoryError") {
            let kind = line.get(at + "java.lang.OutOfMemoryError".len()..).unwrap_or_default();
            let kind = kind.trim_start_matches(':').trim();
            // `Terminating due to java.lang.OutOfMemoryError: Java heap space` comes last.
            self.out_of_memory = Some(kind.to_owned());
        }
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// The line that most likely says what was wrong: the one with which Java itself, or a thread, gave
    /// up, else the last.
    fn telling(&self) -> Option<&str> {
        let gives_up = |line: &&String| {
            line.starts_with("Error: ")
                || line.starts_with("Exception in thread \"main\"")
                || line.contains("java.lang.UnsupportedClassVersionError")
        };
        let line = self.lines.iter().find(gives_up).or_else(|| self.lines.back())?;
        Some(line.trim())
    }
}

/// The reason. `kernel` is what `memory::OutOfMemoryKills` found to have happened meanwhile.
pub(crate) fn reason(
    status: ExitStatus,
    words: &LastWords,
    kernel: Option<&'static str>,
    ended_by_us: bool,
) -> String {
    let more_heap = "give it more with JENKINS_JAVA_OPTS, such as -Xmx1g";
    match (status, &words.out_of_memory) {
        _ if ended_by_us => "the agent ended the JVM".to_owned(),
        (ExitStatus::Exited(OUT_OF_MEMORY_EXIT), Some(kind)) => {
            let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
            format!("the JVM ran out of memory{kind}; {more_heap}")
        }
        (ExitStatus::Exited(CANNOT_RENUMBER), _) => {
            "the remoting library of this controller does not let a second JVM follow the first \
             on one connection"
                .to_owned()
        }
        (ExitStatus::Signaled(SIGKILL), _) => match kernel {
            Some(limit) => format!(
                "the kernel killed the JVM, most likely because {limit}; raise the limit, or lower the JVM's \
                 own with JENKINS_JAVA_OPTS, such as -Xmx256m"
            ),
            None => "the JVM was killed (signal 9)".to_owned(),
        },
        (ExitStatus::Signaled(signal), _) => {
            format!("the JVM crashed or was ended by signal {signal}{}", says(words))
        }
        (ExitStatus::Exited(0), _) => "the JVM ended by itself (exit code 0)".to_owned(),
        (ExitStatus::Exited(code), Some(kind)) => {
            format!(
                "the JVM ended with exit code {code} after it ran out of memory ({kind}); {more_heap}"
            )
        }
        (status, _) => format!("the JVM ended with {status}{}", says(words)),
    }
}

fn says(words: &LastWords) -> String {
    words.telling().map_or_else(String::new, |line| format!(": {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> LastWords {
        let mut words = LastWords::default();
        lines.iter().for_each(|line| words.add(line));
        words
    }

    fn of(status: ExitStatus, lines: &[&str]) -> String {
        reason(status, &words(lines), None, false)
    }

    #[test]
    fn running_out_of_memory_says_how_to_get_more() {
        let line = "Terminating due to java.lang.OutOfMemoryError: Java heap space";
        assert_eq!(
            of(ExitStatus::Exited(3), &[line]),
            "the JVM ran out of memory (Java heap space); give it more with JENKINS_JAVA_OPTS, such as -Xmx1g"
        );
        assert!(of(ExitStatus::Exited(1), &[line]).contains("exit code 1 after it ran out"));
        // The exit code alone may be a plugin's.
        assert_eq!(of(ExitStatus::Exited(3), &["x"]), "the JVM ended with exit code 3: x");
    }

    #[test]
    fn a_kill_by_the_kernel_is_told_from_one_by_somebody() {
        let killed = ExitStatus::Signaled(9);
        assert_eq!(of(killed, &["x"]), "the JVM was killed (signal 9)");
        let limit = Some("the memory limit of the agent's container was reached");
        let text = reason(killed, &words(&[]), limit, false);
        assert!(text.contains("container was reached"), "{text}");
        assert_eq!(reason(killed, &words(&[]), limit, true), "the agent ended the JVM");
        assert!(of(ExitStatus::Signaled(11), &["# SIGSEGV"]).ends_with("signal 11: # SIGSEGV"));
    }

    #[test]
    fn what_java_says_is_passed_on() {
        let lines = [
            "Picked up _JAVA_OPTIONS: -Xx",
            "Error: Could not create the Java Virtual Machine.",
            "Bye",
        ];
        assert_eq!(
            of(ExitStatus::Exited(1), &lines),
            "the JVM ended with exit code 1: Error: Could not create the Java Virtual Machine."
        );
        assert_eq!(of(ExitStatus::Exited(1), &[]), "the JVM ended with exit code 1");
        assert!(of(ExitStatus::Exited(97), &[]).contains("does not let a second JVM"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut words = LastWords::default();
        (0..100).for_each(|number| words.add(&number.to_string()));
        assert_eq!(words.lines.len(), KEPT_LINES);
        assert_eq!(words.telling(), Some("99"));
    }
}
