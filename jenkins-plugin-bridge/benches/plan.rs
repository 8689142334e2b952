//! How long a plan of thirty stages takes: `cargo bench -p pilotfish-bridge --bench plan`.
//!
//! The pipeline is made of the templates that come with the program, with the conditions,
//! placeholders, branches and matrix that real pipelines have. What is measured is what a service
//! does for every build: checking the parameters, deciding the conditions, filling the stages, and
//! then the digest. Preparing a pipeline is done once per catalog and set of layers.
//!
//! What a plan costs whatever else the machine does: `valgrind --tool=callgrind
//! --toggle-collect='*Prepared::plan*'` on the program that `--no-run` names, with `--rounds 20`.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Parser;
use mimalloc::MiMalloc;
use pilotfish_bridge::catalog::{Catalog, shipped};
use pilotfish_bridge::plan::{PlanRequest, Prepared, Selection};
use serde_json::{Value, json};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs before the clock counts: caches are filled as they are in a service.
const WARM_UP: usize = 200;
/// What a plan of thirty stages may take.
const BAR: Duration = Duration::from_micros(200);
/// How many stages the plan has.
const STAGES: usize = 30;

const PIPELINE: &str = r#"
api: pilotfish/v1
kind: pipeline
name: thirty
version: 1.0.0
description: Everything at once.
parameters:
  type: object
  required: [repository]
  properties:
    repository: {type: string, minLength: 1, maxLength: 2048}
    revision: {type: string, default: HEAD, pattern: '^[A-Za-z0-9][A-Za-z0-9._/@+-]*$'}
    php_versions: {type: array, items: {enum: ['8.2', '8.3', '8.4']}, default: ['8.2', '8.3', '8.4']}
    image: {type: string, pattern: '^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+$'}
    image_tag: {type: string, default: build}
    sonar_url: {type: string}
    sonar_project: {type: string, default: all}
    deploy: {enum: [none, all], default: all}
    deploy_branches: {type: string, default: '{main,release/*}'}
    deploy_hosts: {type: array, items: {type: string}, default: [a.example.com, b.example.com]}
    deploy_path: {type: string, default: /srv/app}
    namespace: {type: string, default: app}
    notify: {type: boolean, default: true}
timeout: 3h
stages:
  - {name: checkout, uses: checkout@1}
  - name: units
    parallel:
      - {name: php, uses: unit-test-php, matrix: {axes: {php: '${{ params.php_versions }}'}}, with: {php_version: '${{ matrix.php }}'}}
      - {name: node, uses: unit-test-node, with: {project_dir: web}, when: "any_match(changed_files, 'web/**')"}
      - {name: node-old, uses: unit-test-node, with: {project_dir: web, node_version: '20'}}
      - {name: maven, uses: unit-test-maven, with: {project_dir: orders}}
      - {name: gradle, uses: unit-test-gradle, with: {project_dir: android}}
      - {name: go, uses: unit-test-go, with: {project_dir: proxy}}
      - {name: go-old, uses: unit-test-go, with: {project_dir: proxy, go_version: '1.24'}}
      - {name: python, uses: unit-test-python, with: {project_dir: tools}}
      - {name: rust, uses: unit-test-rust, with: {project_dir: core}}
      - {name: front, uses: frontend-build, with: {frontend_dir: web}}
      - {name: admin, uses: frontend-build, with: {frontend_dir: admin, frontend_tool: pnpm}}
  - {name: api, uses: api-test, with: {api_tests: tests/api.sh}}
  - {name: api-orders, uses: api-test, with: {api_tests: tests/orders.json, api_runner: newman}}
  - {name: scan, uses: sonar-scan, when: has(params.sonar_url)}
  - name: images
    when: has(params.image)
    parallel:
      - {name: image-web, uses: image-build, with: {project_dir: web, image: '${{ params.image }}-web'}}
      - {name: image-orders, uses: image-build, with: {project_dir: orders, image: '${{ params.image }}-orders'}}
      - {name: image-proxy, uses: image-build, with: {project_dir: proxy, image: '${{ params.image }}-proxy'}}
      - {name: image-core, uses: image-build, with: {project_dir: core, image: '${{ params.image }}-core', image_builder: buildkit}}
  - {name: stage-helm, uses: deploy-helm, with: {release: app-stage}, when: params.deploy == 'all'}
  - {name: stage-api, uses: api-test, with: {api_tests: tests/api.sh}, when: params.deploy == 'all'}
  - {name: stage-rsync, uses: deploy-rsync, when: params.deploy == 'all', lock: {resource: 'site-${{ params.deploy_path }}'}}
  - {name: live-helm, uses: deploy-helm, with: {release: app}, approval: {message: 'Go live with ${{ params.image_tag }}?'}, when: "params.deploy == 'all' && glob(branch, params.deploy_branches) && !is_pull_request"}
  - {name: live-manifests, uses: deploy-kubectl, with: {manifests: k8s}, when: "params.deploy == 'all' && glob(branch, params.deploy_branches) && !is_pull_request"}
  - {name: live-rsync, uses: deploy-rsync, when: "params.deploy == 'all' && glob(branch, params.deploy_branches)"}
  - {name: live-api, uses: api-test, with: {api_tests: tests/smoke.sh}, when: "results['live-helm'] == 'success'"}
post:
  failure: [{name: tell-failure, uses: notify-webhook, when: params.notify}]
  always: [{name: tell, uses: notify-webhook, when: params.notify}]
"#;

/// Measures the making of a plan
#[derive(Debug, Parser)]
struct Options {
    /// Runs that are measured: fewer for a tool that counts instructions
    #[arg(long, default_value_t = 4000)]
    rounds: usize,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

struct Figures {
    median: Duration,
    p99: Duration,
}

/// Median and 99th percentile of one call.
fn measured(rounds: usize, mut call: impl FnMut()) -> Figures {
    for _ in 0..WARM_UP.min(rounds) {
        call();
    }
    let mut all: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
    Figures { median: at(50), p99: at(99) }
}

fn row(name: &str, figures: &Figures, bar: &str) {
    let micros = |one: Duration| one.as_secs_f64() * 1e6;
    println!(
        "{name:<48} {:>9.1} µs {:>9.1} µs   {bar}",
        micros(figures.median),
        micros(figures.p99)
    );
}

/// The most memory that this process ever had, in KiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut files = shipped::files();
    files.0.insert("pipelines/thirty.yaml".to_owned(), PIPELINE.to_owned());
    let catalog = Catalog::from_files(&files)?;
    let selection = Selection::default();
    let prepared = Prepared::new(&catalog, "thirty", &selection)?;
    let parameters: BTreeMap<String, Value> = serde_json::from_value(json!({
        "repository": "https://git.example.com/app.git",
        "revision": "main",
        "image": "registry.example.com/team/app",
        "image_tag": "1.4.2",
        "sonar_url": "https://sonar.example.com",
    }))?;
    let facts = serde_json::from_value(json!({"branch": "main", "cause": "push"}))?;
    let request = PlanRequest { parameters, facts, ..PlanRequest::default() };
    let plan = prepared.plan(&request)?;
    let stages = plan.all_stages().count();
    if stages != STAGES {
        return Err(format!("the plan has {stages} stages, not {STAGES}").into());
    }
    let text = plan.canonical();
    println!("{:<48} {:>12} {:>12}   bar", "", "median", "p99");
    let make = measured(options.rounds, || {
        let _ = black_box(prepared.plan(black_box(&request)));
    });
    row("parameters to a plan of 30 stages", &make, "< 200 µs");
    let digest = measured(options.rounds, || {
        black_box(black_box(&plan).digest());
    });
    row("digest of the plan", &digest, "");
    let parse = measured(options.rounds, || {
        let _ = black_box(serde_json::from_str::<Value>(black_box(&text)));
    });
    row("for comparison: reading the JSON of the plan", &parse, "");
    let start = Instant::now();
    black_box(Prepared::new(&catalog, "thirty", &selection)?);
    println!(
        "preparing the pipeline, once per catalog: {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    println!("the plan as JSON: {} KiB", text.len() / 1024);
    if let Some(peak) = peak_memory() {
        println!("most memory of this process: {:.1} MiB", peak as f64 / 1024.0);
    }
    if make.median > BAR {
        println!("the bar of {} µs is missed", BAR.as_micros());
    }
    Ok(())
}
