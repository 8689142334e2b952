//! The binary that is shipped.

use std::fs;

use clap::Args;

use crate::context::{Context, Done};
use crate::{agent, arm64, elf};

/// Options of `cargo xtask dist`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// For 64-bit ARM, whatever this machine is
    #[arg(long)]
    arm64: bool,
}

/// The largest that the binary may be, in bytes.
const MAX_BYTES: u64 = 10 << 20;

/// For this machine.
pub fn here(context: &Context) -> Done {
    run(context, &Options::default())
}

pub fn run(context: &Context, options: &Options) -> Done {
    let (built, dir) = match options.arm64 {
        true => (arm64::release(context)?, "dist-arm64"),
        false => (agent::release(context)?, "dist"),
    };
    let shipped = context.fresh_dir(dir)?.join("pilotfish-agent");
    let describe = |error| format!("{}: {error}", shipped.display());
    fs::copy(built, &shipped).map_err(describe)?;
    let bytes = fs::read(&shipped).map_err(describe)?;
    let kind = if options.arm64 {
        "static"
    } else {
        elf::check_static_pie(&bytes).map_err(|why| format!("{}: {why}", shipped.display()))?;
        "static-pie"
    };
    let size = bytes.len() as u64;
    println!("{}: {kind}, {:.2} MiB", shipped.display(), mib(size));
    if size > MAX_BYTES {
        return Err(format!(
            "the binary has {:.2} MiB, the limit is {}",
            mib(size),
            mib(MAX_BYTES)
        ));
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
