package hudson.remoting;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;

/** Writes to a stream of the other side within its window (remoting-channel 4). */
public final class ProxyOutputStream extends OutputStream implements ErrorPropagatingOutputStream {
    /** Shared with the cleaner, which releases the remote stream when its holder is collected. */
    private static final class State implements Runnable {
        private Channel channel;
        private int oid;
        private boolean ended;

        @Override
        public synchronized void run() {
            if (ended || channel == null || channel.closed().isDone()) return;
            ended = true;
            try {
                channel.send(new Unexport(channel.nextIoId(), oid));
            } catch (IOException e) {
                // The channel ended: so did the export.
            }
        }
    }

    private final State state = new State();

    /** Not connected yet: writers wait until {@link #connect}. */
    ProxyOutputStream() {
        Channel.CLEANER.register(this, state);
    }

    ProxyOutputStream(Channel channel, int oid) {
        this();
        connect(channel, oid);
    }

    void connect(Channel channel, int oid) {
        synchronized (state) {
            state.channel = channel;
            state.oid = oid;
            state.notifyAll();
        }
    }

    private Channel connected() throws IOException {
        synchronized (state) {
            while (state.channel == null && !state.ended) {
                try {
                    state.wait();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new InterruptedIOException("interrupted before the other side connected");
                }
            }
            if (state.ended) throw new IOException("stream is closed");
            return state.channel;
        }
    }

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] source, int from, int size) throws IOException {
        Channel channel = connected();
        int offset = from;
        int end = from + size;
        while (offset < end) {
            int n = channel.window(state.oid).take(end - offset);
            byte[] part = Arrays.copyOfRange(source, offset, offset + n);
            channel.send(new Chunk(channel.nextIoId(), state.oid, part));
            offset += n;
        }
    }

    @Override
    public void flush() throws IOException {
        Channel channel = connected();
        channel.send(new Flush(channel.nextIoId(), state.oid));
    }

    /** Drops the remote stream without closing it. */
    public void release() {
        state.run();
    }

    @Override
    public void close() throws IOException {
        end(null);
    }

    @Override
    public void error(Throwable cause) {
        try {
            end(cause);
        } catch (IOException e) {
            // The reader learns of the end with the channel's.
        }
    }

    /** The channel ended before the other side connected: whoever waits to write learns it. */
    void abandon() {
        synchronized (state) {
            if (state.channel == null) state.ended = true;
            state.notifyAll();
        }
    }

    private void end(Throwable cause) throws IOException {
        Channel channel;
        synchronized (state) {
            if (state.ended) return;
        }
        channel = connected();
        synchronized (state) {
            if (state.ended) return;
            state.ended = true;
        }
        channel.send(new EOF(channel.nextIoId(), state.oid, cause));
    }

    private static OutputStream stream(Channel channel, int oid, Command command) {
        try {
            return (OutputStream) channel.exports().get(oid);
        } catch (ExecutionException | ClassCastException e) {
            channel.complain(command.getClass().getName() + " for oid " + oid + ": " + e.getMessage());
            return null;
        }
    }

    private static void send(Channel channel, Command command) {
        try {
            channel.send(command);
        } catch (IOException e) {
            // The sender's window ends with the channel.
        }
    }

    /** Bytes for a stream of the receiver, who acknowledges them after writing. */
    public static final class Chunk extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int requestId;
        private final int oid;
        private final byte[] buf;

        Chunk(int ioId, int oid, byte[] buf) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
            this.buf = buf;
            requestId = Channel.requestId();
        }

        @Override
        protected void execute(Channel channel) {
            OutputStream out = stream(channel, oid, this);
            channel.watch().received(oid, buf.length);
            channel.pipeWriter().submit(ioId, () -> {
                try {
                    if (out != null) out.write(buf);
                } catch (IOException e) {
                    send(channel, new NotifyDeadWriter(e, oid));
                } finally {
                    channel.watch().acknowledged(oid, buf.length);
                    send(channel, new Ack(oid, buf.length));
                }
            });
        }
    }

    /** Flushes a stream of the receiver. */
    public static final class Flush extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int requestId;
        private final int oid;

        Flush(int ioId, int oid) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
            requestId = Channel.requestId();
        }

        @Override
        protected void execute(Channel channel) {
            OutputStream out = stream(channel, oid, this);
            channel.pipeWriter().submit(ioId, () -> {
                try {
                    if (out != null) out.flush();
                } catch (IOException e) {
                    // The next write reports it.
                }
            });
        }
    }

    /** Closes a stream of the receiver and releases it. */
    public static final class EOF extends Command {
        private static final long serialVersionUID = 1;
        private final int oid;
        private final int requestId;
        private final int ioId;
        private final Throwable error;

        EOF(int ioId, int oid, Throwable error) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
            this.error = error;
            requestId = Channel.requestId();
        }

        @Override
        protected void execute(Channel channel) {
            OutputStream out = stream(channel, oid, this);
            channel.exports().release(oid);
            channel.pipeWriter().submit(ioId, () -> {
                try {
                    if (error != null && out instanceof ErrorPropagatingOutputStream propagating) propagating.error(error);
                    if (out != null) out.close();
                } catch (IOException e) {
                    // Closing failed after all bytes were acknowledged: nobody is left to tell.
                }
            });
        }
    }

    /** Releases a stream of the receiver without closing it. */
    public static final class Unexport extends Command {
        private static final long serialVersionUID = 1;
        private final int oid;
        private final int ioId;

        Unexport(int ioId, int oid) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) {
            if (!channel.exports().release(oid)) channel.complain("ProxyOutputStream$Unexport for oid " + oid + ", which is not exported");
        }
    }

    /** Gives room back to the sender of chunks. */
    public static final class Ack extends Command {
        private static final long serialVersionUID = 1;
        private final int oid;
        private final int size;

        Ack(int oid, int size) {
            super(false);
            this.oid = oid;
            this.size = size;
        }

        @Override
        protected void execute(Channel channel) {
            channel.acknowledged(oid, size);
        }
    }

    /** Tells the sender of chunks that writing fails. */
    public static final class NotifyDeadWriter extends Command {
        private static final long serialVersionUID = 1;
        private final int oid;

        NotifyDeadWriter(Throwable cause, int oid) {
            super(true);
            createdAt.initCause(new ProxyException(cause));
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) {
            Throwable cause = createdAt == null ? null : createdAt.getCause();
            channel.deadWriter(oid, new IOException("the other side cannot write to stream " + oid, cause));
        }
    }
}
