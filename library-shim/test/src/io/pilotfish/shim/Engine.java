package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.Outcome;
import com.cloudbees.groovy.cps.impl.CpsCallableInvocation;
import groovy.lang.Closure;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamClass;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException.CauseOfInterruption;

/**
 * Runs a script that the real transformer has made, and stores it at every step, as a controller
 * does that is stopped there: it always goes on from the copy.
 */
final class Engine {
    private final World world;
    private final ClassLoader loader;
    private ArrayList<Branch> branches = new ArrayList<>();
    private int turn;
    /** Chooses whose turn it is; without it they take turns in order. */
    Random chance;
    /** How often the build was stored and read again. */
    int stored;

    Engine(World world, ClassLoader loader) {
        this.world = world;
        this.loader = loader;
    }

    /** Runs a piece of code to its end. */
    Outcome run(Continuable code, String directory) throws Exception {
        return run(code, directory, Map.of());
    }

    /** Runs the code of a build, which has variables of its own. */
    Outcome run(Continuable code, String directory, Map<String, String> environment) throws Exception {
        Branch main = new Branch(null, null, null, 0);
        main.environment.putAll(environment);
        main.code = code;
        main.directory = directory;
        branches.add(main);
        while (branches.get(0).end == null) {
            Branch now = ready();
            if (now == null) {
                waitForTheSoonest();
                continue;
            }
            Outcome went = now.code.run0(now.next);
            now.next = null;
            if (!now.code.isResumable()) {
                ended(now, went);
            } else {
                if (went.getNormal() instanceof StepCall call) begin(now, call);
                else now.next = new Outcome(null, null);
            }
            branches = copy(branches);
            stored++;
        }
        return branches.get(0).end;
    }

    /** The next that can go on, each in its turn. */
    private Branch ready() {
        if (chance != null) turn = chance.nextInt(branches.size());
        for (int i = 0; i < branches.size(); i++) {
            Branch one = branches.get((turn + i) % branches.size());
            if (one.next != null && one.end == null) {
                turn = (turn + i + 1) % branches.size();
                return one;
            }
        }
        return null;
    }

    private void waitForTheSoonest() throws InterruptedException {
        Branch first = null;
        for (Branch one : branches) {
            if (one.hangs && (first == null || one.soonest() < first.soonest())) first = one;
        }
        if (first == null || first.soonest() == Long.MAX_VALUE) throw new IllegalStateException("the build hangs for ever");
        Thread.sleep(Math.max(0, first.soonest() - System.currentTimeMillis()) + 1);
        interrupt(first, new FlowInterruptedException.ExceededTimeout());
    }

    private void interrupt(Branch one, CauseOfInterruption cause) {
        one.hangs = false;
        one.next = new Outcome(null, new FlowInterruptedException(cause));
    }

    private void begin(Branch now, StepCall call) {
        if (!world.hasStep(call.name())) {
            now.next = new Outcome(null, new NoSuchMethodError("No such DSL method '" + call.name() + "' found"));
            return;
        }
        int line = world.recorder.add(now.line, call);
        if (call.name().equals("parallel")) {
            Map<?, ?> bodies = (Map<?, ?>) call.arguments().get(0);
            bodies.forEach((name, body) -> {
                if (body instanceof Closure<?> closure) start(now, call, closure, world.recorder.add(line, "branch '" + name + "'"));
            });
            return;
        }
        if (call.name().equals("node") && world.hasNoNode()) {
            now.hangs = true;
            return;
        }
        if (call.body() != null) {
            start(now, call, call.body(), line);
            return;
        }
        try {
            Object value = world.step(call, new World.Place(now.environment, now.directory));
            if (value == World.HANGS) {
                now.hangs = true;
            } else {
                now.next = new Outcome(value, null);
            }
        } catch (Exception e) {
            now.next = new Outcome(null, e);
        }
    }

    private void start(Branch parent, StepCall call, Closure<?> body, int line) {
        Branch child = new Branch(parent, call, body, line);
        child.code = code(body);
        switch (call.name()) {
            case "timeout" -> child.deadline = System.currentTimeMillis() + ((Number) call.argument("time")).longValue() * 1000;
            case "retry" -> child.tries = ((Number) call.argument("count")).intValue();
            case "dir" -> child.directory = call.argument("path").toString();
            case "withEnv" -> Variables.set(child.environment, (List<?>) call.argument("overrides"));
            case "withCredentials" -> Variables.bind(child.environment, (List<?>) call.argument("bindings"));
            default -> { }
        }
        parent.children.add(child);
        branches.add(child);
    }

    private static Continuable code(Closure<?> body) {
        try {
            throw new IllegalStateException("a body that is not transformed: " + body.call());
        } catch (CpsCallableInvocation call) {
            return new Continuable(call.asBlock());
        }
    }

    private void ended(Branch child, Outcome how) {
        Branch parent = child.parent;
        child.end = how;
        if (parent == null) return;
        Throwable failure = how.getAbnormal();
        boolean stopped = failure instanceof FlowInterruptedException;
        if (child.call.name().equals("retry") && failure != null && !stopped && child.tries > 1) {
            world.recorder.add(child.line, "again");
            child.tries--;
            child.end = null;
            child.code = code(child.body);
            child.next = new Outcome(null, null);
            return;
        }
        if (failure != null && Boolean.TRUE.equals(child.call.argument("failFast"))) {
            for (Branch one : branches) {
                if (one.hangs && one.isIn(parent)) interrupt(one, new FlowInterruptedException.FailFastCause());
            }
        }
        for (Branch one : parent.children) {
            if (one.end == null) return;
        }
        Outcome all = how;
        if (child.call.name().equals("parallel")) {
            all = new Outcome(null, null);
            for (Branch one : parent.children) {
                if (one.end.isFailure() && all.isSuccess()) all = one.end;
            }
        }
        if (child.call.name().equals("catchError") && failure != null) {
            world.currentBuild.worsen(String.valueOf(child.call.argument("buildResult")));
            all = new Outcome(null, null);
        }
        branches.removeAll(parent.children);
        parent.children.clear();
        parent.next = all;
    }

    private ArrayList<Branch> copy(ArrayList<Branch> state) throws IOException, ClassNotFoundException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(state);
        }
        String text = bytes.toString(StandardCharsets.ISO_8859_1);
        for (String secret : world.secrets) {
            if (text.contains(secret)) throw new IllegalStateException("a secret is stored with the build: " + secret);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray())) {
            @Override
            protected Class<?> resolveClass(ObjectStreamClass description) throws ClassNotFoundException {
                return Class.forName(description.getName(), false, loader);
            }
        }) {
            @SuppressWarnings("unchecked")
            ArrayList<Branch> read = (ArrayList<Branch>) in.readObject();
            return read;
        }
    }
}
