package hudson.remoting;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;

/** Carries out stream writes in arrival order, off the reader; requests wait for it (remoting-channel 4, ioId). */
final class PipeWriter implements Runnable {
    private record Task(int ioId, Runnable work, CompletableFuture<Void> done) {}

    private final Executor pool;
    private final ArrayDeque<Task> queue = new ArrayDeque<>();
    private final Map<Integer, CompletableFuture<Void>> open = new HashMap<>();
    private boolean running;

    PipeWriter(Executor pool) {
        this.pool = pool;
    }

    synchronized void submit(int ioId, Runnable work) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        queue.add(new Task(ioId, work, done));
        open.put(ioId, done);
        if (!running) {
            running = true;
            pool.execute(this);
        }
    }

    @Override
    public void run() {
        while (true) {
            Task task;
            synchronized (this) {
                task = queue.poll();
                if (task == null) {
                    running = false;
                    return;
                }
            }
            try {
                task.work.run();
            } finally {
                synchronized (this) {
                    open.remove(task.ioId, task.done);
                }
                task.done.complete(null);
            }
        }
    }

    /** Waits until the write with that id is done; 0 and unknown ids are done. */
    void await(int ioId) throws InterruptedException {
        CompletableFuture<Void> done;
        synchronized (this) {
            done = open.get(ioId);
        }
        if (done == null) return;
        try {
            done.get();
        } catch (ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits for everything queued so far. */
    void drain() throws InterruptedException {
        CountDownLatch reached = new CountDownLatch(1);
        submit(0, reached::countDown);
        reached.await();
    }
}
