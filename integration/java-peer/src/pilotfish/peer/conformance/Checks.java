package pilotfish.peer.conformance;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs named checks one after the other and reports each on a line. */
final class Checks {
    private final String only;
    private final int limitSeconds;
    private int passed;
    private int failed;

    /** What a check does; it fails by throwing. */
    interface Body {
        void run() throws Throwable;
    }

    /** {@code limitSeconds} bounds each check; {@code only} limits the run to checks whose name contains it; null for all. */
    Checks(String only, int limitSeconds) {
        this.only = only;
        this.limitSeconds = limitSeconds;
    }

    void check(String name, Body body) {
        if (only != null && !name.contains(only)) return;
        long begin = System.nanoTime();
        try {
            within(body);
            passed++;
            System.out.printf("ok     %-58s %6d ms%n", name, (System.nanoTime() - begin) / 1_000_000);
        } catch (Throwable t) {
            failed++;
            System.out.println("FAILED " + name + ": " + t);
            StringWriter trace = new StringWriter();
            t.printStackTrace(new PrintWriter(trace));
            trace.toString().lines().skip(1).filter(line -> line.contains("pilotfish.peer") || line.startsWith("Caused by")).limit(6)
                    .forEach(line -> System.out.println("       " + line.trim()));
        }
        System.out.flush();
    }

    /** A check that hangs must not hide the others. */
    private void within(Body body) throws Throwable {
        FutureTask<Throwable> task = new FutureTask<>(() -> {
            try {
                body.run();
                return null;
            } catch (Throwable t) {
                return t;
            }
        });
        Thread thread = new Thread(task, "check");
        thread.setDaemon(true);
        thread.start();
        Throwable failure;
        try {
            failure = task.get(limitSeconds, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            AssertionError late = new AssertionError("not done after " + limitSeconds + " s");
            late.setStackTrace(thread.getStackTrace());
            thread.interrupt();
            throw late;
        }
        if (failure != null) throw failure;
    }

    /** A check with a step before it that must succeed as well. */
    void check(String name, Body body, Body before) {
        check(name, () -> {
            before.run();
            body.run();
        });
    }

    int passed() {
        return passed;
    }

    int failed() {
        return failed;
    }

    static void require(boolean condition, String otherwise) {
        if (!condition) throw new AssertionError(otherwise);
    }

    static void same(Object expected, Object actual, String what) {
        require(java.util.Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    /** The exception of that type which the body must throw. */
    static <X extends Throwable> X thrown(Class<X> type, Body body) {
        try {
            body.run();
        } catch (Throwable t) {
            if (type.isInstance(t)) return type.cast(t);
            throw new AssertionError("expected " + type.getName() + ", got " + t, t);
        }
        throw new AssertionError("expected " + type.getName() + ", nothing was thrown");
    }
}
