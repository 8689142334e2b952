//! `pilotfish-images FLAVOUR…`: builds images. `cargo xtask images` gives it the programs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use pilotfish_images::{Built, Error, Flavour, Programs, Recipe, Source};

/// Builds OCI images without a container engine.
#[derive(Debug, Parser)]
#[command(name = "pilotfish-images")]
struct Arguments {
    /// Which images
    #[arg(required = true)]
    flavours: Vec<Flavour>,
    /// The agent's program
    #[arg(long)]
    agent: Option<PathBuf>,
    /// The bridge's program
    #[arg(long)]
    bridge: Option<PathBuf>,
    /// A static busybox
    #[arg(long)]
    busybox: Option<PathBuf>,
    /// Where the images go
    #[arg(long)]
    out: PathBuf,
    /// The repository
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The version in the tag
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// The commit
    #[arg(long)]
    revision: String,
    /// The time of everything in the images, in seconds since 1970
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    epoch: u64,
    /// The release of Debian
    #[arg(long, default_value = "trixie")]
    suite: String,
    /// The archive of Debian; one of snapshot.debian.org gives the same packages for ever
    #[arg(long, default_value = "http://deb.debian.org/debian")]
    mirror: String,
    /// Build each image twice and compare
    #[arg(long)]
    twice: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilotfish-images: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let debian = Source { suite: arguments.suite.clone(), mirror: arguments.mirror.clone() };
    let names = match &arguments.busybox {
        Some(busybox) => applets(busybox)?,
        None => Vec::new(),
    };
    for &flavour in &arguments.flavours {
        let missing = |option| Error::Missing { flavour: flavour.name(), option };
        let (own, option) = match flavour {
            Flavour::Bridge => (&arguments.bridge, "--bridge"),
            _ => (&arguments.agent, "--agent"),
        };
        let own = own.as_ref().ok_or(missing(option))?;
        let busybox = match (flavour, &arguments.busybox) {
            (Flavour::Static, None) => return Err(missing("--busybox")),
            (Flavour::Static, Some(busybox)) => Some((busybox.as_path(), names.as_slice())),
            _ => None,
        };
        let recipe = Recipe {
            flavour,
            root: &arguments.root,
            programs: Programs { own, busybox },
            debian: &debian,
            version: &arguments.tag,
            revision: &arguments.revision,
            epoch: arguments.epoch,
        };
        let Built { name, digest, size, archive } = recipe.build(&arguments.out)?;
        if arguments.twice {
            let again = recipe.build(&arguments.out)?;
            if again.digest != digest {
                return Err(Error::NotReproducible { first: digest, second: again.digest });
            }
        }
        let mib = size as f64 / f64::from(1 << 20);
        let same = if arguments.twice { ", twice the same" } else { "" };
        println!("{name}: {mib:.1} MiB packed, {digest}{same}, {}", archive.display());
    }
    Ok(())
}

/// The names that this busybox answers to.
fn applets(busybox: &std::path::Path) -> Result<Vec<String>, Error> {
    let failed = |why: String| Error::Program { program: "busybox".to_owned(), why };
    let output = Command::new(busybox).arg("--list").output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
