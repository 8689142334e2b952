//! The binary that is shipped.

use std::fs;

use crate::context::{Context, Done};
use crate::{agent, elf};

/// The largest that the binary may be, in bytes.
const MAX_BYTES: u64 = 10 << 20;

pub fn run(context: &Context) -> Done {
    let built = agent::release(context)?;
    let shipped = context.fresh_dir("dist")?.join("pilotfish-agent");
    let describe = |error| format!("{}: {error}", shipped.display());
    fs::copy(built, &shipped).map_err(describe)?;
    let bytes = fs::read(&shipped).map_err(describe)?;
    elf::check_static_pie(&bytes).map_err(|why| format!("{}: {why}", shipped.display()))?;
    let size = bytes.len() as u64;
    println!("{}: static-pie, {:.2} MiB", shipped.display(), mib(size));
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
