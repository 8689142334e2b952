//! `top`: masters, labels that too few of them can serve, what waits and what runs, anew every few seconds.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::builds::{Build, table};
use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, masters, typed};
use crate::cli::PASSED;
use crate::cli::remote::runtime;
use crate::cli::table::Table;
use crate::error::BridgeError;
use crate::route::{BuildState, LimitFill};

/// Moves to the top and clears what was there.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Look once. So it is, too, where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// The most builds of each list.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(in crate::cli) fn execute(arguments: &TopArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    let live = std::io::stdout().is_terminal() && !arguments.once;
    runtime()?.block_on(async {
        loop {
            let masters = bridge.get("/v1/masters").await?;
            let labels = bridge.get("/v1/labels").await?;
            let limits = bridge.get("/v1/limits").await?;
            let builds = bridge.get("/v1/builds?state=live&limit=500").await?;
            let ended = bridge.get("/v1/builds?state=finished&limit=5").await?;
            let all = json!({"masters": masters, "labels": labels, "limits": limits, "live": builds,
                "finished": ended});
            let most = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
            arguments.output.print(&all, |_| {
                let live_builds: Vec<Build> = typed(&builds)?;
                let (waiting, placed): (Vec<Build>, Vec<Build>) =
                    live_builds.into_iter().partition(|one| one.state == BuildState::Waiting);
                let mut text = if live { CLEAR.to_owned() } else { String::new() };
                text.push_str(&masters::table(&masters)?);
                text.push_str(&masters::alerts(&labels)?);
                text.push_str(&fullness(&typed::<Vec<LimitFill>>(&limits)?));
                for (title, list) in
                    [("waiting", waiting), ("at masters", placed), ("ended", typed(&ended)?)]
                {
                    let shown = most.min(list.len());
                    let more = list.len() - shown;
                    text.push_str(&format!("\n{} {title}\n{}", list.len(), table(&list[..shown])?));
                    if more > 0 {
                        text.push_str(&format!("and {more} more\n"));
                    }
                }
                Ok(text)
            })?;
            if !live {
                return Ok(PASSED);
            }
            tokio::time::sleep(Duration::from_secs(arguments.every)).await;
        }
    })
}

/// Limits and how full each is; nothing where there are none.
fn fullness(limits: &[LimitFill]) -> String {
    if limits.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["LIMIT OF", "NAME", "BUILDS", "WAIT", ""]);
    for one in limits {
        table.line([
            one.kind.as_str().to_owned(),
            one.name.clone(),
            format!("{}/{}", one.used, one.limit),
            one.waiting.map_or_else(String::new, |count| count.to_string()),
            if one.is_full() { "FULL".to_owned() } else { String::new() },
        ]);
    }
    format!("\n{}", table.text())
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::route::LimitKind;

    #[test]
    fn limits_that_are_full_are_marked() {
        let limit = |name: &str, used| LimitFill {
            kind: LimitKind::Team,
            name: name.into(),
            limit: 2,
            used,
            waiting: Some(7),
        };
        assert_eq!(fullness(&[]), "");
        let told = fullness(&[limit("red", 2), limit("blue", 1)]);
        assert_eq!(
            told,
            "\nLIMIT OF  NAME  BUILDS  WAIT\nteam      red   2/2     7     FULL\nteam      blue  1/2     7\n"
        );
    }
}
