package hudson.remoting;

import java.io.IOException;
import java.io.Serializable;
import java.util.concurrent.CompletableFuture;

/** A command that is answered by a {@link Response} with its id. */
public abstract class Request extends Command {
    private static final long serialVersionUID = 1;
    /** One counter for the whole process, as a controller has (remoting-channel 2). */
    private static int nextId;

    public final int id;
    /** The last stream write that must be done before this request runs; 0 for none. */
    public int lastIoId;
    /** Always null on the wire. */
    protected Response response;

    transient CompletableFuture<Response> future;
    transient long sentAt;

    protected Request(boolean recordCreatedAt) {
        super(recordCreatedAt);
        id = takeId();
        lastIoId = Channel.lastIoId();
        future = new CompletableFuture<>();
    }

    private static synchronized int takeId() {
        return nextId++;
    }

    /** Computes the answer on the receiver. */
    protected abstract Serializable perform(Channel channel) throws Throwable;

    void abort(String reason) {
        future.completeExceptionally(new IOException("channel ended before the answer to " + this + ": " + reason));
    }

    @Override
    protected void execute(Channel channel) {
        // Known before it runs, or a Cancel that follows at once would miss it.
        Execution execution = new Execution();
        channel.executing().put(id, execution);
        channel.pool().execute(() -> run(channel, execution));
    }

    private void run(Channel channel, Execution execution) {
        Channel before = Channel.enter(channel);
        Channel.beginRequest(id);
        execution.begin();
        Response answer;
        try {
            channel.pipeWriter().await(lastIoId);
            answer = new Response(id, perform(channel), null);
        } catch (Throwable t) {
            answer = new Response(id, null, t);
        }
        channel.executing().remove(id);
        execution.end();
        answer.lastIoId = Channel.lastIoId();
        try {
            channel.send(answer);
        } catch (IOException e) {
            if (!channel.closed().isDone()) channel.complain("answer to " + this + " could not be sent: " + e);
        } finally {
            Channel.beginRequest(0);
            Channel.enter(before);
        }
    }

    @Override
    public String toString() {
        return getClass().getSimpleName() + "#" + id;
    }

    /** Interrupts the request with that id on the receiver; it still answers. */
    public static final class Cancel extends Command {
        private static final long serialVersionUID = -1709992419006993208L;

        private final int id;

        public Cancel(int id) {
            super(true);
            this.id = id;
        }

        @Override
        protected void execute(Channel channel) {
            Execution execution = channel.executing().get(id);
            if (execution != null) execution.interrupt();
        }
    }
}
