package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Outcome;
import hudson.model.RunParameterValue;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * From the recorded parameters of a controller to stages that ran: the bridge reads them and makes
 * a plan; a build that was started for that plan runs it on this machine; the bridge has its events.
 */
final class Local {
    private static final long STARTED = 1_795_373_510_834L;
    private static final String NOTES = "line 1\nline <2> & \u4e2d\u6587";

    private Local() {}

    static void run(Library library, Path root, String program) throws Exception {
        Path directory = Files.createTempDirectory("pilotfish-library");
        Path workspace = Files.createDirectory(directory.resolve("a $HOME workspace"));
        Path recordings = root.resolve("../integration/recordings/rest");
        try (Recorded controller = new Recorded(recordings);
            RealBridge bridge = new RealBridge(program, directory, root.resolve("test/local"), controller.url())) {
            // What starts a build: a plan of the parameters that the controller has.
            Map<?, ?> first = bridge.ask("/v1/plans", bridge.token, Map.of("controller", "main", "job", "team-a/web", "build", 1, "started_ms", STARTED));
            String digest = first.get("digest").toString();
            same("the controller was asked", controller.asked.contains("GET /job/team-a/job/web/1/api/json"), true);
            Map<?, ?> parameters = (Map<?, ?>) ((Map<?, ?>) bridge.ask("/v1/plans/" + digest, bridge.reader, null).get("plan")).get("parameters");
            same("parameters", new TreeMap<Object, Object>(parameters).toString(),
                new TreeMap<>(Map.of("branch", "feature/x", "environment", "prod", "notes", NOTES, "sonar", false, "upstream", "p-sh#15")).toString());

            // The build that was started for it. Its own parameters say something else.
            Build build = new Build("team-a/web", 2, STARTED + 1000, bridge.url, bridge.key, bridge.token);
            build.parameter("PILOTFISH_PLAN", digest);
            build.parameter("ENVIRONMENT", "test");
            build.parameter("upstream", "the case of a name does not count in Jenkins");
            build.secret("DEPLOY_PASSWORD");
            build.current.rawBuild.parameters.getParameters().add(new RunParameterValue("UPSTREAM", "p-sh", "15"));
            LocalWorld world = new LocalWorld(build.current);
            world.secrets = new String[] {bridge.token, "pft1."};
            Engine engine = new Engine(world, library.loader);
            Outcome end = build.run(library, world, engine, workspace.toString(), Map.of());
            if (end.isFailure()) throw new IllegalStateException(world.log.toString(), end.getAbnormal());

            same("result", build.current.result, "UNSTABLE");
            same("stages that ran", Files.readString(workspace.resolve("ran")), "docs\ngrid small\ngrid large\ntidy\n");
            same("what was deployed", Files.readString(workspace.resolve("deployed")),
                "feature/x\nprod\np-sh#15\nunstable\ndeploy\n[]\n2\n" + NOTES);
            same("lock and milestone are of the bridge", world.log.toString().matches("(?s).*(does not give|knows no).*"), false);
            same("files kept", world.kept, List.of("deployed"));
            same("secrets in the log", world.log.toString().contains(bridge.token), false);

            // What the bridge knows of it afterwards.
            Map<?, ?> again = bridge.ask("/v1/plans", bridge.token, Map.of("controller", "main", "job", "team-a/web", "build", 2,
                "started_ms", STARTED + 1000, "digest", digest));
            Map<?, ?> known = bridge.ask("/v1/builds/" + ((Map<?, ?>) again.get("build")).get("id"), bridge.reader, null);
            same("outcome", known.get("outcome"), "unstable");
            List<String> ends = new ArrayList<>();
            int sequence = 0;
            for (Object one : (List<?>) known.get("events")) {
                Map<?, ?> event = (Map<?, ?>) one;
                same("sequence", event.get("sequence"), sequence++);
                if ("stage-finished".equals(event.get("type"))) ends.add(event.get("node") + " " + event.get("outcome"));
            }
            same("ends of stages", ends, List.of("prepare success", "style unstable", "unit-tests success", "verify unstable", "scan skipped",
                "docs success", "code skipped", "grid[size=small] success", "grid[size=large] success", "grid success", "deploy success", "tidy success"));
            same("outputs", String.valueOf(known.get("outputs")), "{unit-tests={count=2}}");
            same("evaluations", ((List<?>) known.get("evaluations")).size(), 3);
            System.out.println("12 nodes of a recorded job, run and reported; " + engine.stored + " times stored and read again");
        }
    }

    private static void same(String what, Object found, Object expected) {
        if (!expected.equals(found)) throw new IllegalStateException(what + ": expected " + expected + "\ngot " + found);
    }
}
