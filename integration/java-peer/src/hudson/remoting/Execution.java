package hudson.remoting;

/** A request that runs or waits for a thread here; may be interrupted before it has begun. */
final class Execution {
    private Thread thread;
    private boolean interrupted;

    synchronized void begin() {
        thread = Thread.currentThread();
        if (interrupted) thread.interrupt();
    }

    /** After this the thread belongs to somebody else. */
    synchronized void end() {
        thread = null;
        Thread.interrupted();
    }

    synchronized void interrupt() {
        interrupted = true;
        if (thread != null) thread.interrupt();
    }
}
