//! `sizing`: what stages used and should ask for.

use clap::Args;

use super::remote::runtime;
use super::table::Table;
use super::{PASSED, complain, print};
use crate::error::BridgeError;
use crate::pod::sizing::SizingSettings;
use crate::service::{self, SizingRow, Store};

/// Arguments of `sizing`.
#[derive(Debug, Args)]
pub struct SizingArguments {
    /// `sqlite:FILE` or `postgres://…`: the database of the service. The variable
    /// PILOTFISH_DATABASE_URL keeps a password off the command line.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Only of jobs whose full name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    job: String,
    /// Builds that must have run before something is recommended.
    #[arg(long, value_name = "N")]
    min_samples: Option<u32>,
    /// What is added to the 95th percentile, in percent.
    #[arg(long, value_name = "PERCENT")]
    margin: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &SizingArguments) -> Result<u8, BridgeError> {
    let settings = SizingSettings {
        min_samples: arguments.min_samples,
        margin_percent: arguments.margin,
        ..SizingSettings::default()
    };
    let failed = |error: service::StoreError| {
        BridgeError::io("read the database", std::io::Error::other(error.to_string()))
    };
    let mut rows = runtime()?.block_on(async {
        let store = Store::open(&service::database(arguments.database.as_deref())).await;
        let store = store.map_err(failed)?;
        service::sizing(&store, &settings, None).await.map_err(failed)
    })?;
    rows.retain(|row| row.job.contains(&arguments.job));
    if arguments.json {
        let text = serde_json::to_value(&rows).unwrap_or_default();
        print(&crate::catalog::schema::published(&text));
        return Ok(PASSED);
    }
    if rows.is_empty() {
        complain("no stage has reported what it used");
    }
    print(&table(&rows));
    Ok(PASSED)
}

fn table(rows: &[SizingRow]) -> String {
    let mebibytes = |bytes: u64| format!("{} Mi", bytes.div_ceil(1 << 20));
    let mut table = Table::new(&["JOB", "STAGE", "CONTAINER", "BUILDS", "P95", "ASK FOR"]);
    for row in rows {
        let ask = row.recommended.map_or_else(
            || "too few builds".to_owned(),
            |one| format!("{}m, {}", one.cpu_millis, mebibytes(one.memory_bytes)),
        );
        table.line([
            format!("{}/{}", row.controller, row.job),
            row.stage.clone(),
            row.container.clone(),
            row.builds.to_string(),
            mebibytes(row.p95_memory_bytes),
            ask,
        ]);
    }
    table.text()
}
