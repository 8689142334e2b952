//! PostgreSQL for tests. Where it is not installed the tests that need it are left out, unless
//! `PILOTFISH_TEST_POSTGRES=required` says that they must run, as CI does.

use pilotfish_fleet::postgres::Database;

/// Starts a cluster.
pub fn start() -> Option<Database> {
    let required = std::env::var("PILOTFISH_TEST_POSTGRES").is_ok_and(|value| value == "required");
    if !required && !Database::is_installed() {
        println!("left out: PostgreSQL is not installed");
        return None;
    }
    Some(Database::start().unwrap())
}
