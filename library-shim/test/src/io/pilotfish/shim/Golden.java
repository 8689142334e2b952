package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Outcome;
import groovy.json.JsonSlurperClassic;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.Set;

/** Runs a plan of the real bridge for each case, and compares the steps with those in `golden/`. */
final class Golden {
    /** What a case may set up. */
    static final class Setup {
        final Map<String, Object> options = new TreeMap<>();
        FakeBridge bridge;
        Build build;
        PlayWorld world;
    }

    interface Case {
        void prepare(Setup setup) throws Exception;
    }

    private final Library library;
    private final Path test;
    private final List<String> bridge;
    private final boolean update;
    private final Map<String, Map<?, ?>> plans = new TreeMap<>();
    private final List<String> differ = new ArrayList<>();
    private final Set<String> seen = new TreeSet<>();
    private int stored;

    Golden(Library library, Path test, String bridge, boolean update) {
        this.library = library;
        this.test = test;
        this.bridge = List.of(bridge, "plan", "--catalog", test.resolve("catalog").toString(), "--format", "json", "--pipeline");
        this.update = update;
    }

    /** The plan of a pipeline, as the command prints it. */
    private Map<?, ?> plan(String pipeline, String... parameters) throws IOException, InterruptedException {
        String key = pipeline + String.join(" ", parameters);
        if (!plans.containsKey(key)) {
            List<String> line = new ArrayList<>(bridge);
            line.add(pipeline);
            for (String one : parameters) line.addAll(List.of("--param", one));
            Process process = new ProcessBuilder(line).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            byte[] json = process.getInputStream().readAllBytes();
            if (process.waitFor() != 0) throw new IllegalStateException("there is no plan of " + key);
            plans.put(key, (Map<?, ?>) new JsonSlurperClassic().parseText(new String(json, java.nio.charset.StandardCharsets.UTF_8)));
        }
        return plans.get(key);
    }

    /** Runs one case. Its name is that of the golden file. */
    void check(String name, String pipeline, Case prepare, String... parameters) throws Exception {
        Setup setup = new Setup();
        try (FakeBridge bridge = new FakeBridge(plan(pipeline, parameters))) {
            setup.bridge = bridge;
            setup.build = new Build("team/web", 7, 1_700_000_000_000L, bridge.url(), bridge.publicKey(), FakeBridge.TOKEN);
            setup.world = new PlayWorld(setup.build.current, new Recorder(bridge.url(), "BRIDGE",
                setup.bridge.digest(), "DIGEST"));
            setup.world.secrets = new String[] {FakeBridge.TOKEN, FakeBridge.BUILD_TOKEN};
            prepare.prepare(setup);
            Engine engine = new Engine(setup.world, library.loader);
            Outcome end = setup.build.run(library, setup.world, engine, "/agent/workspace/job", setup.options);
            stored += engine.stored;
            StringBuilder text = new StringBuilder(setup.world.recorder.toString());
            text.append("---\nresult: ").append(setup.build.current.result == null ? "SUCCESS" : setup.build.current.result).append('\n');
            if (end.isFailure()) text.append("ended by: ").append(end.getAbnormal().getClass().getSimpleName()).append('\n');
            for (Map<?, ?> event : bridge.events) {
                Map<Object, Object> shown = new TreeMap<Object, Object>(event);
                if (!(shown.remove("at_ms") instanceof Long)) throw new IllegalStateException("an event has no time: " + event);
                text.append("event ").append(shown.remove("sequence")).append(": ").append(shown.remove("type")).append(' ').append(shown).append('\n');
            }
            for (Object claim : bridge.claimed) text.append("claim: ").append(new TreeMap<Object, Object>((Map<?, ?>) claim)).append('\n');
            for (String one : bridge.lockRequests) text.append(one).append('\n');
            for (Map<?, ?> question : bridge.questions) text.append("question: ").append(new TreeMap<Object, Object>(question)).append('\n');
            for (Object facts : bridge.evaluations) text.append("facts: ").append(new TreeMap<Object, Object>((Map<?, ?>) facts)).append('\n');
            compare(name, setup.world.recorder.steady(text.toString()));
        }
    }

    /** Branches that take turns in any order come to the same: each node ends once, and well. */
    void inAnyOrder(String pipeline, int orders) throws Exception {
        TreeMap<String, Integer> first = null;
        for (int seed = 0; seed < orders; seed++) {
            try (FakeBridge bridge = new FakeBridge(plan(pipeline))) {
                Build build = new Build("team/web", 7, 1_700_000_000_000L, bridge.url(), bridge.publicKey(), FakeBridge.TOKEN);
                PlayWorld world = new PlayWorld(build.current, new Recorder());
                Engine engine = new Engine(world, library.loader);
                engine.chance = new Random(seed);
                build.run(library, world, engine, "/agent/workspace/job", Map.of());
                stored += engine.stored;
                TreeMap<String, Integer> ends = new TreeMap<>();
                for (Map<?, ?> event : bridge.events) ends.merge(event.get("type") + " " + event.get("node") + " " + event.get("outcome"), 1, Integer::sum);
                if (first == null) first = ends;
                boolean good = build.current.result == null && ends.equals(first) && ends.values().stream().allMatch(count -> count == 1);
                if (!good) differ.add(pipeline + " in the order of seed " + seed + ": " + build.current.result + " " + ends);
            }
        }
    }

    private void compare(String name, String text) throws IOException {
        Path file = test.resolve("golden").resolve(name + ".txt");
        if (!seen.add(name)) throw new IllegalStateException("two cases are called " + name);
        if (update) {
            Files.writeString(file, text);
            return;
        }
        String before = Files.exists(file) ? Files.readString(file) : "";
        if (before.equals(text)) return;
        differ.add(name);
        List<String> old = before.lines().toList();
        List<String> now = text.lines().toList();
        int at = 0;
        while (at < old.size() && at < now.size() && old.get(at).equals(now.get(at))) at++;
        System.err.println(name + ", line " + (at + 1) + ":");
        old.stream().skip(at).limit(8).forEach(line -> System.err.println("  - " + line));
        now.stream().skip(at).limit(8).forEach(line -> System.err.println("  + " + line));
    }

    /** Says how it went. Files that no case has are found too. */
    boolean end() throws IOException {
        try (var files = Files.list(test.resolve("golden"))) {
            files.map(file -> file.getFileName().toString().replaceAll("\\.txt$", "")).filter(name -> !seen.contains(name))
                .forEach(name -> differ.add("golden/" + name + ".txt, which no case has"));
        }
        System.out.println(seen.size() + " cases, " + stored + " times stored and read again, " + differ.size() + " differ");
        if (!differ.isEmpty()) System.err.println("differ: " + String.join(", ", differ) + "; --update writes what is now");
        return differ.isEmpty();
    }
}
