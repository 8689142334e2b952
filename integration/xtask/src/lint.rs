//! Format and lints, licences and bans.

use crate::context::{Context, Done, run as run_command};
use crate::tools;

/// What a developer runs before a commit.
pub fn all(context: &Context) -> Done {
    run(context)?;
    licences(context)
}

/// Format and clippy.
pub fn run(context: &Context) -> Done {
    tools::need(&tools::CC)?;
    run_command(&mut context.cargo(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run_command(&mut context.cargo(clippy))
}

/// Licences, bans and sources of all dependencies.
pub fn licences(context: &Context) -> Done {
    if tools::is_there("cargo-deny") {
        return run_command(&mut context.cargo(["deny", "check", "licenses", "bans", "sources"]));
    }
    println!("cargo-deny is not installed, so licences and bans were not checked.");
    println!("To check them: cargo install --locked cargo-deny");
    Ok(())
}
