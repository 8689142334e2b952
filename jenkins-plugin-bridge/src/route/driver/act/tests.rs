//! What comes of a trigger: what a master, or what stands in front of it, answers, and what is known then.

use super::*;
use crate::masters::Registry;
use crate::rest::stub::{Reply, Stub, recording};
use crate::service::tests::routed::{job, masters_at, place};
use crate::service::tests::world::{OPERATOR, World};

/// Where builds of the job are started.
const TRIGGER: &str = "/job/team/job/web/buildWithParameters";

/// A build after the answer to its trigger, and what is remembered.
struct After {
    build: Build,
    memory: Arc<Memory>,
    /// How often it was asked for.
    asked: usize,
}

impl After {
    async fn of(reply: Reply) -> Self {
        let stub = Stub::start(move |_| reply.clone()).await;
        let registry: Arc<Registry> = masters_at(&stub.url);
        let world = World::with_masters(Arc::clone(&registry)).await;
        let service = Arc::clone(&world.service);
        world.post("/v1/jobs", OPERATOR, &job("team/web")).await.ok();
        let order = serde_json::json!({"job": "team/web"});
        let asked = world.post("/v1/builds", OPERATOR, &order).await.ok();
        let id = asked["id"].as_str().unwrap().to_owned();
        place(&service.store, &id, "k-1").await;
        let build = service.store.routed(&id).await.unwrap().unwrap();
        let memory = Arc::new(Memory::default());
        memory.declared("main", "team/web", i64::MAX);
        let options = Arc::new(RouteOptions::default());
        let master = registry.get("main").unwrap();
        trigger(Arc::clone(&service), options, Arc::clone(&memory), master, build).await;
        let build = service.store.routed(&id).await.unwrap().unwrap();
        Self { build, memory, asked: stub.count(TRIGGER) }
    }

    fn is_cooling(&self) -> bool {
        lock(&self.memory.cooling).contains_key("main")
    }

    /// Why the job is not tried at this master for a while.
    fn about_the_job(&self) -> Option<String> {
        self.memory.why_no_job("team/web", "main", 0)
    }

    /// It may go to another master, as nothing was started here.
    fn is_free(&self) -> bool {
        self.build.state == BuildState::Waiting && self.build.master.is_none()
    }

    /// Nobody knows whether it was started: it stays with this master, and is looked for.
    fn is_looked_for(&self) -> bool {
        self.build.state == BuildState::Triggering && self.build.master.as_deref() == Some("main")
    }
}

fn page(source: &str, status: u16) -> Reply {
    let html = [("Content-Type", "text/html;charset=utf-8")];
    Reply::assumed(source, status, &html, "<html><head><title>Not now</title></head></html>")
}

#[tokio::test]
async fn what_was_started_waits_in_the_queue() {
    let after = After::of(recording(22).reply).await;
    assert_eq!(after.build.state, BuildState::Queued);
    assert!(after.build.queue_item.is_some());
    assert!(!after.is_cooling() && after.about_the_job().is_none());
    assert_eq!(after.asked, 1);
}

#[tokio::test]
async fn a_refusal_of_the_job_is_held_against_the_job_alone() {
    // `ParameterizedJobMixIn.doBuildWithParameters` says 409 of a job that is disabled.
    let disabled = page("jenkins.model.ParameterizedJobMixIn.doBuildWithParameters", 409);
    // As recorded for a value that is no choice: 500.
    for (reply, why) in [(disabled, "disabled there"), (recording(25).reply, "(500: ")] {
        let after = After::of(reply).await;
        assert!(after.is_free(), "{:?}", after.build);
        assert!(after.build.reason.starts_with("main: "), "{}", after.build.reason);
        assert!(after.about_the_job().unwrap().contains(why), "{}", after.build.reason);
        assert!(!after.is_cooling(), "other jobs go on");
        assert_eq!(after.asked, 1, "it is not tried again by itself");
    }
}

#[tokio::test]
async fn a_master_that_is_not_ready_has_started_nothing_and_is_left_alone() {
    let after = After::of(page("hudson.util.HudsonIsLoading.doDynamic", 503)).await;
    assert!(after.is_free(), "{:?}", after.build);
    assert!(after.build.reason.contains("is not ready (503)"), "{}", after.build.reason);
    assert!(after.is_cooling() && after.about_the_job().is_none());
}

#[tokio::test]
async fn what_a_gateway_or_a_broken_connection_hides_is_looked_for() {
    let cut = Reply { is_cut: true, ..page("java.net.SocketException", 500) };
    let lost =
        [page("ngx_http_proxy_module.502", 502), page("ngx_http_proxy_module.504", 504), cut];
    for reply in lost {
        let status = reply.status;
        let after = After::of(reply).await;
        assert!(after.is_looked_for(), "{status}: {:?}", after.build);
        assert!(after.is_cooling() && after.about_the_job().is_none(), "{status}");
        assert_eq!(after.asked, 1, "{status}: a second one may be a second build");
    }
}
