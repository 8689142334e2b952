//! The fuzz targets of `integration/fuzz`: libFuzzer with coverage, and no nightly toolchain needed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::context::{Context, Done, files, run as run_command};
use crate::tools;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Add what was found to the committed corpus, the smallest inputs for the same coverage
    #[arg(long)]
    merge: bool,
    /// Only these targets
    targets: Vec<String>,
}

impl Options {
    /// All targets, and nothing is kept.
    pub fn all_for(seconds: u32) -> Self {
        Self { seconds, seed: 1, merge: false, targets: Vec::new() }
    }
}

/// What `cargo fuzz` passes, less the sanitizer: it needs a nightly toolchain and finds faults of
/// unsafe code, of which there is next to none.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// The short form of CI.
pub fn short(context: &Context) -> Done {
    run(context, &Options::all_for(10))
}

pub fn run(context: &Context, options: &Options) -> Done {
    tools::need(&tools::CC)?;
    tools::need(&tools::CXX)?;
    let targets = targets(context, options)?;
    let build = context.target.join("fuzz");
    let crate_dir = context.root.join("integration/fuzz");
    let mut cargo = context.cargo(["build", "--release"]);
    for target in &targets {
        cargo.args(["--bin", target]);
    }
    // The variable takes the place of the flags for static linking in .cargo/config.toml.
    cargo.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &build);
    run_command(cargo.current_dir(&crate_dir))?;
    let mut failed = Vec::new();
    for target in targets {
        println!("--> {target}, {} s, seed {}", options.seconds, options.seed);
        let program = build.join(&context.triple).join("release").join(&target);
        let corpus = crate_dir.join("corpus").join(&target);
        let found = context.fresh_dir(format!("fuzz/found/{target}"))?;
        let artifacts = context.fresh_dir(format!("fuzz/artifacts/{target}"))?;
        let mut done = fuzz(&program, options, &artifacts, [&found, &corpus]);
        if options.merge {
            done = done.and_then(|()| merge(context, &program, &found, &corpus));
        }
        if let Err(failure) = done {
            println!("{failure}; the input and the log are in {}", artifacts.display());
            failed.push(target);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn targets(context: &Context, options: &Options) -> Done<Vec<String>> {
    let sources = context.root.join("integration/fuzz/fuzz_targets");
    let top = |path: &PathBuf| path.parent() == Some(&sources);
    let known: Vec<_> = files(&sources, "rs")?
        .into_iter()
        .filter(top)
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    match options.targets.iter().find(|target| !known.contains(target)) {
        Some(unknown) => Err(format!("no fuzz target {unknown}; known: {}", known.join(", "))),
        None if options.targets.is_empty() => Ok(known),
        None => Ok(options.targets.clone()),
    }
}

/// Runs one target. What it finds goes into the first directory, the second is only read.
fn fuzz(program: &Path, options: &Options, artifacts: &Path, corpora: [&Path; 2]) -> Done {
    let mut command = Command::new(program);
    command.arg(format!("-seed={}", options.seed));
    command.arg(format!("-max_total_time={}", options.seconds));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    // libFuzzer has a lot to say; of that only the end matters.
    let log = artifacts.join("log");
    let describe = |error: std::io::Error| format!("{}: {error}", log.display());
    command.stderr(File::create(&log).map_err(describe)?);
    let done = run_command(command.args(corpora));
    let told = String::from_utf8_lossy(&std::fs::read(&log).map_err(describe)?).into_owned();
    match &done {
        Ok(()) => println!("    {}", summary(&told)),
        Err(_) => println!("{}", last_lines(&told, 40)),
    }
    done
}

/// The line with which a run ends: executions, coverage, size of the corpus, memory.
fn summary(log: &str) -> &str {
    log.lines().rfind(|line| line.contains("DONE")).unwrap_or("it ended without a summary")
}

fn last_lines(log: &str, count: usize) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn merge(context: &Context, program: &Path, found: &Path, corpus: &Path) -> Done {
    let merged = context.fresh_dir("fuzz/merged")?;
    let mut command = Command::new(program);
    run_command(command.args(["-merge=1", "-verbosity=0"]).arg(&merged).args([corpus, found]))?;
    let describe = |error: std::io::Error| format!("{}: {error}", corpus.display());
    std::fs::remove_dir_all(corpus).map_err(describe)?;
    std::fs::create_dir_all(corpus).map_err(describe)?;
    for entry in merged.read_dir().map_err(describe)?.flatten() {
        std::fs::copy(entry.path(), corpus.join(entry.file_name())).map_err(describe)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_only_the_end_is_shown() {
        let log = "INFO: seed\n#9 NEW cov: 1\n#20 DONE cov: 5 exec/s: 7\nstat::peak_rss_mb: 3";
        assert_eq!(summary(log), "#20 DONE cov: 5 exec/s: 7");
        assert_eq!(summary("panicked"), "it ended without a summary");
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
