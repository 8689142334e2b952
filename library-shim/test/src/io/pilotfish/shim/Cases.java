package io.pilotfish.shim;

import static io.pilotfish.shim.PlayWorld.decision;

import com.cloudbees.plugins.credentials.CredentialsProvider;
import groovy.json.JsonOutput;
import groovy.json.JsonSlurperClassic;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jenkinsci.plugins.workflow.steps.StepDescriptor;

/** One case for each feature of a plan, and for each reason to refuse one. */
final class Cases {
    private final Golden golden;

    Cases(Golden golden) {
        this.golden = golden;
    }

    void all() throws Exception {
        features();
        ends();
        facts();
        outputs();
        refusals();
        away();
        golden.inAnyOrder("lanes", 20);
        golden.inAnyOrder("parallel", 2);
    }

    private void features() throws Exception {
        golden.check("sequence", "sequence", setup -> { });
        golden.check("parallel", "parallel", setup -> { });
        golden.check("matrix", "matrix", setup -> { });
        golden.check("lock", "lock", setup -> { });
        golden.check("lock-without-plugin", "lock", setup -> StepDescriptor.KNOWN.remove("lock"));
        locks();
        golden.check("credentials", "credentials", setup -> { });
        golden.check("approval", "approval", setup -> { });
        golden.check("reports", "reports", setup -> setup.world.tests = new PlayWorld.Tests(3, 0, 1));
        golden.check("reports-with-failed-tests", "reports", setup -> setup.world.tests = new PlayWorld.Tests(3, 2, 0));
        golden.check("reports-that-cannot-be-read", "reports", setup -> setup.world.happens.put("junit", "fail"));
        golden.check("reports-without-plugin", "reports", setup -> StepDescriptor.KNOWN.remove("junit"));
        golden.check("environment", "environment", setup -> setup.world.recorder.wholeEnvironment = true,
            "text=it's \"${PATH}\" $(id) $$\nnext", "notes=line 1\nline 2");
        golden.check("environment-without-values", "environment", setup -> { }, "text=x", "notes=");
        golden.check("label-and-overrides", "sequence", setup -> {
            setup.options.putAll(Map.of("label", "linux", "stages.first.timeout", "5m"));
        });
        golden.check("pod", "pod", setup -> StepDescriptor.KNOWN.addAll(List.of("podTemplate", "container")));
        golden.check("pod-without-plugin", "pod", setup -> { });
        Object rendered = new JsonSlurperClassic().parseText("""
            {"manifest": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "jnlp"}, {"name": "tool-a"}]}},
             "routes": {"one/tool": "tool-a", "one/other": "other", "same/tool": "tool-a", "same/other": "other",
                        "two/tool": "tool-b", "two/other": "other"}}""");
        golden.check("pod-of-the-bridge", "pod", setup -> {
            StepDescriptor.KNOWN.addAll(List.of("podTemplate", "container"));
            setup.world.recorder.wholeEnvironment = true;
            setup.bridge.claims = all -> with(all, "pod", rendered);
        });
        golden.check("pod-of-the-bridge-with-label", "pod", setup -> {
            StepDescriptor.KNOWN.addAll(List.of("podTemplate", "container"));
            setup.options.put("label", "linux");
            setup.bridge.claims = all -> with(all, "pod", rendered);
        });
        golden.check("pod-that-does-not-start", "pod", setup -> {
            StepDescriptor.KNOWN.addAll(List.of("podTemplate", "container"));
            setup.world.happens.put("node", "hang");
            setup.bridge.claims = all -> with(all, "pod", rendered);
            setup.bridge.start.add(Map.of("id", "b-1"));
            setup.bridge.start.add(Map.of("id", "b-1", "pod", Map.of("pod", "p", "phases", Map.of())));
            setup.bridge.start.add(Map.of("id", "b-1", "pod", Map.of("pod", "p", "phases", Map.of(), "failure",
                Map.of("reason", "ImagePullBackOff", "message", "container tool-a: no such image"))));
        });
        golden.check("claimed", "sequence", setup -> claims(setup, null));
        golden.check("claim-lost", "sequence", setup -> claims(setup, "https://other.example.com/job/team/job/web/3/"));
        golden.check("digest", "sequence", setup -> setup.build.parameter("PILOTFISH_PLAN", setup.bridge.digest()));
    }

    /** Milestones, and locks of the bridge: waited for, given back in each ending, and what is done where there are none. */
    private void locks() throws Exception {
        Map<String, Object> holder = Map.of("build", "b-9", "page", "/builds/b-9");
        Map<String, Object> second = Map.of("state", "waiting", "reason", "place 2 for the lock production: stage deploy of team/web #6 at second has it",
            "holder", holder, "again_in_seconds", 15);
        Map<String, Object> next = Map.of("state", "waiting", "reason", "place 1 for the lock production, which is free", "again_in_seconds", 5);
        golden.check("lock-waited-for", "lock", setup -> setup.bridge.locks.addAll(List.of(second, second, next)));
        golden.check("lock-of-a-stage-that-fails", "lock", setup -> setup.world.happens.put("say", "fail"));
        golden.check("lock-of-a-build-that-is-stopped", "lock", setup -> setup.world.happens.put("say", "stop"));
        golden.check("lock-not-waited-for", "lock", setup -> {
            setup.bridge.locks.addAll(List.of(second, second));
            setup.world.happens.put("sleep#2", "stop");
        });
        golden.check("milestone", "milestone", setup -> { });
        golden.check("milestone-that-a-newer-build-has-passed", "milestone",
            setup -> setup.bridge.newer = "superseded: build 9 of team/web has passed the milestone deploy already");
        golden.check("milestone-of-an-old-bridge", "milestone", setup -> setup.bridge.isOld = true);
        golden.check("lock-of-an-old-bridge", "lock", setup -> setup.bridge.isOld = true);
        golden.check("lock-of-an-old-bridge-without-plugin", "lock", setup -> {
            setup.bridge.isOld = true;
            StepDescriptor.KNOWN.remove("lock");
        });
        golden.check("lock-of-a-bridge-that-is-away", "lock", setup -> setup.bridge.losesLocks = true);
        golden.check("lock-that-another-has-while-the-bridge-is-away", "lock", setup -> {
            setup.bridge.locks.add(second);
            setup.bridge.lockTroubles = 8;
        });
        golden.check("lock-of-a-bridge-that-is-away-without-plugin", "lock", setup -> {
            setup.bridge.losesLocks = true;
            StepDescriptor.KNOWN.remove("lock");
        });
    }

    /** A build that the bridge started, perhaps at several masters. */
    private static void claims(Golden.Setup setup, String holder) {
        setup.build.parameter("PILOTFISH_BUILD_ID", "r-1");
        setup.build.parameter("PILOTFISH_BUILD_KEY", "k-1");
        setup.bridge.claimedBy = holder;
    }

    private void ends() throws Exception {
        golden.check("posts-after-success", "posts", setup -> { });
        golden.check("posts-after-failure", "posts", setup -> setup.world.happens.put("work", "fail"));
        golden.check("posts-after-stop", "posts", setup -> setup.world.happens.put("work", "stop"));
        golden.check("posts-that-fail", "posts", setup -> setup.world.happens.put("always", "fail"));
        golden.check("parallel-with-failure", "parallel", setup -> setup.world.happens.put("work", "fail"));
        golden.check("parallel-fails-fast", "parallel", setup -> setup.world.happens.putAll(Map.of("work", "hang", "say", "fail")));
        golden.check("retry", "retry", setup -> setup.world.happens.putAll(Map.of("work#1", "fail", "work#2", "fail", "say#1", "hang")));
        golden.check("retry-in-vain", "retry", setup -> setup.world.happens.putAll(Map.of("work", "fail")));
        golden.check("retry-not-for-this", "retry", setup -> setup.world.happens.put("say", "fail"));
        golden.check("timeout-of-a-stage", "timeouts", setup -> setup.world.happens.put("work#1", "hang"));
        golden.check("timeout-of-the-pipeline", "timeouts", setup -> setup.world.happens.put("work#2", "hang"));
        golden.check("approval-refused", "approval", setup -> setup.world.happens.put("Go?", "reject"));
        golden.check("approval-not-answered", "approval", setup -> setup.world.happens.put("Go?", "hang"));
    }

    private void outputs() throws Exception {
        outputs("outputs", "digest=sha256:0000\n\ndigest=sha256:0a1b\nnote= $(id) = \"it's\"\n");
        outputs("outputs-not-written", "");
        outputs("outputs-not-declared", "digest=sha256:0a1b\ndigset=1\nwhat\n");
        outputs("outputs-not-matching", "digest=latest\n");
        outputs("outputs-with-control-characters", "digest=sha256:0a1b\nnote=a\rb\n");
        outputs("outputs-too-long", "digest=sha256:0a1b\nnote=" + "x".repeat(1025) + "\n");
        outputs("outputs-that-take-too-long", "digest=sha256:0a1b\nslow=" + "a".repeat(40) + "!\n");
        outputs("outputs-with-secret", "digest=sha256:0a1b\nnote=the secret of login\n");
        outputs("outputs-that-nobody-gave", "digest=sha256:0a1b\n");
        outputs("outputs-that-start-with-a-dash", "digest=sha256:0a1b\nnote=--config=x\n");
        golden.check("outputs-of-a-failure", "outputs", setup -> {
            setup.world.happens.put("give", "fail");
            setup.world.files.put("outputs/build-image", "note=half\n");
        });
        golden.check("outputs-that-cannot-be-read", "outputs", setup -> setup.world.happens.put("outputs", "fail"));
    }

    private void outputs(String name, String written) throws Exception {
        golden.check(name, "outputs", setup -> {
            setup.world.files.put("outputs/build-image", written);
            setup.bridge.decisions = Map.of("after", decision("active", "it has a digest"));
        });
    }

    private void facts() throws Exception {
        golden.check("decided-at-run-time", "deferred", setup -> {
            setup.world.files.put("facts/changed-files", "docs/a.md\n\nsrc/b c.rs\n");
            setup.bridge.decisions = Map.of("docs", decision("active", "a document changed"), "after", decision("skipped", "not so"));
        });
        golden.check("not-decided", "deferred", setup -> setup.bridge.decisions = Map.of(
            "docs", decision("deferred", "still needs changed_files"), "after", decision("active", "true")));
        for (String claim : List.of("request", "build", "expires_at")) {
            golden.check("decision-of-other-" + claim.replace('_', '-'), "deferred", setup -> {
                setup.bridge.decisions = Map.of("docs", decision("active", "true"), "after", decision("active", "true"));
                setup.bridge.evaluationClaims = all -> with(all, claim, claim.equals("expires_at") ? (Object) 1_700_000_000 : "another");
            });
        }
        golden.check("decision-is-refused", "deferred", setup -> {
            setup.world.files.put("facts/changed-files", "a\n");
            setup.bridge.refusesEvaluations = "{\"title\":\"A valid token is needed\",\"detail\":\"this token of a build has ended\"}";
        });
    }

    private void refusals() throws Exception {
        golden.check("refused-unsigned", "sequence", setup -> setup.bridge.envelope = all -> with(all, "signatures", List.of()));
        golden.check("refused-without-envelope", "sequence", setup -> setup.bridge.envelope = all -> null);
        golden.check("refused-altered", "sequence", setup -> setup.bridge.envelope = all -> {
            String text = new String(Base64.getDecoder().decode(all.get("payload").toString()));
            String other = text.replace("echo", "eval");
            if (other.equals(text)) throw new IllegalStateException("nothing to alter");
            return with(all, "payload", Base64.getEncoder().encodeToString(other.getBytes()));
        });
        golden.check("refused-other-type", "sequence", setup -> setup.bridge.envelope = all -> with(all, "payloadType", "text/plain"));
        golden.check("refused-other-key", "sequence", setup -> {
            try (FakeBridge other = new FakeBridge(Map.of())) {
                setup.build.settings.put("PILOTFISH_KEYS", other.publicKey());
            }
        });
        golden.check("second-key-is-good", "sequence", setup -> {
            try (FakeBridge other = new FakeBridge(Map.of())) {
                setup.build.settings.put("PILOTFISH_KEYS", other.publicKey() + ", " + setup.bridge.publicKey());
            }
        });
        golden.check("refused-key-is-none", "sequence", setup -> setup.build.settings.put("PILOTFISH_KEYS", "AAAA"));
        golden.check("refused-expired", "sequence", setup -> setup.bridge.claims = all -> with(all, "expires_at", 1_700_000_000));
        golden.check("refused-other-build", "sequence", setup -> setup.bridge.claims = all -> with(with(all, "number", 8), "job", "team/other"));
        golden.check("refused-other-controller", "sequence", setup -> setup.bridge.claims = all -> with(all, "controller", "second"));
        golden.check("refused-other-digest", "sequence", setup -> setup.build.parameter("PILOTFISH_PLAN", "sha256:" + "0".repeat(64)));
        golden.check("refused-other-format", "sequence", setup -> setup.bridge.claims = all -> {
            Map<String, Object> plan = new HashMap<>();
            ((Map<?, ?>) all.get("plan")).forEach((key, value) -> plan.put(key.toString(), value));
            return with(all, "plan", with(plan, "format", "pilotfish/plan/v2"));
        });
        golden.check("refused-parameters", "sequence", setup -> setup.bridge.troubles.add(Map.entry(422, JsonOutput.toJson(Map.of(
            "title", "Parameters are refused", "detail", "nothing was planned",
            "errors", List.of(Map.of("path", "php_version", "message", "expected one of 8.3, 8.4"), Map.of("path", "image", "message", "is required")))))));
        golden.check("refused-token", "sequence", setup -> setup.bridge.troubles.add(Map.entry(401, "{\"title\":\"A valid token is needed\",\"detail\":\"not known\"}")));
        golden.check("settings-missing", "sequence", setup -> setup.build.settings.remove("PILOTFISH_KEYS"));
        golden.check("settings-without-tls", "sequence", setup -> setup.build.settings.put("PILOTFISH_BRIDGE", "http://bridge.example.org"));
        golden.check("token-missing", "sequence", setup -> CredentialsProvider.ALL.clear());
        golden.check("credentials-missing", "credentials", setup -> CredentialsProvider.ALL.removeIf(one -> List.of("login", "key").contains(one.getId())));
        golden.check("plugins-missing", "approval", setup -> StepDescriptor.KNOWN.remove("input"));
    }

    private void away() throws Exception {
        golden.check("away-for-a-while", "sequence", setup -> {
            setup.bridge.troubles.add(Map.entry(503, "{\"title\":\"Not available now\",\"detail\":\"the database is busy\"}"));
            setup.bridge.troubles.add(Map.entry(502, "<html>Bad gateway</html>"));
            setup.bridge.troubles.add(Map.entry(200, "<html>Log in</html>"));
        });
        golden.check("away", "sequence", setup -> setup.bridge.close());
        golden.check("away-for-events", "posts", setup -> setup.bridge.losesEvents = true);
    }

    private static Map<String, Object> with(Map<String, Object> map, String key, Object value) {
        Map<String, Object> copy = new HashMap<>(map);
        copy.put(key, value);
        return copy;
    }
}
