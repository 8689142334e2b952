//! Webhooks, statuses of commits and archives, with what others wrote: too much to build in every run of CI.

use crate::context::{Context, Done, run};
use crate::{go, tools};

/// Builds Gitea and versitygw, and runs the tests that are left out without them.
pub fn run_it(context: &Context) -> Done {
    tools::need(&tools::CC)?;
    let gateway = go::build(context, &go::VERSITYGW)?;
    let gitea = go::build(context, &go::GITEA)?;
    // Templates and texts, which are not in the program.
    let sources = go::sources(context, &go::GITEA, go::GITEA.package)?;
    let mut test = context.cargo(["test", "--package", "pilotfish-bridge", "--lib", "--"]);
    test.args(["service::tests::gateway", "service::tests::gitea", "--nocapture"]);
    test.env("PILOTFISH_TEST_VERSITYGW", gateway).env("PILOTFISH_TEST_GITEA", gitea);
    run(test.env("PILOTFISH_TEST_GITEA_SOURCES", sources))
}
