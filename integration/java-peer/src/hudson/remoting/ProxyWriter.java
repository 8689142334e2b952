package hudson.remoting;

import java.io.IOException;
import java.io.Writer;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;

/** Writes characters to a writer of the other side; like {@link ProxyOutputStream} but counted in characters. */
public final class ProxyWriter extends Writer {
    private final Channel channel;
    private final int oid;
    private boolean closed;

    ProxyWriter(Channel channel, int oid) {
        this.channel = channel;
        this.oid = oid;
    }

    @Override
    public void write(char[] source, int from, int size) throws IOException {
        int offset = from;
        while (offset < from + size) {
            int n = channel.window(oid).take(from + size - offset);
            channel.send(new Chunk(channel.nextIoId(), oid, Arrays.copyOfRange(source, offset, offset + n)));
            offset += n;
        }
    }

    @Override
    public void flush() throws IOException {
        channel.send(new Flush(channel.nextIoId(), oid));
    }

    @Override
    public void close() throws IOException {
        if (closed) return;
        closed = true;
        channel.send(new EOF(channel.nextIoId(), oid));
    }

    private static Writer writer(Channel channel, int oid) throws ExecutionException {
        return (Writer) channel.exports().get(oid);
    }

    private static void quietly(IoAction action) {
        try {
            action.run();
        } catch (IOException e) {
            // Reported by the next write, or nobody is left to tell.
        }
    }

    private interface IoAction {
        void run() throws IOException;
    }

    /** Characters for a writer of the receiver. */
    public static final class Chunk extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int oid;
        private final char[] buf;

        Chunk(int ioId, int oid, char[] buf) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
            this.buf = buf;
        }

        @Override
        protected void execute(Channel channel) throws ExecutionException {
            Writer writer = writer(channel, oid);
            channel.watch().received(oid, buf.length);
            channel.pipeWriter().submit(ioId, () -> {
                try {
                    writer.write(buf);
                } catch (IOException e) {
                    quietly(() -> channel.send(new NotifyDeadWriter(oid)));
                } finally {
                    channel.watch().acknowledged(oid, buf.length);
                    quietly(() -> channel.send(new Ack(oid, buf.length)));
                }
            });
        }
    }

    /** Flushes a writer of the receiver. */
    public static final class Flush extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int oid;

        Flush(int ioId, int oid) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) throws ExecutionException {
            Writer writer = writer(channel, oid);
            channel.pipeWriter().submit(ioId, () -> quietly(writer::flush));
        }
    }

    /** Closes a writer of the receiver and releases it. */
    public static final class EOF extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int oid;

        EOF(int ioId, int oid) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) throws ExecutionException {
            Writer writer = writer(channel, oid);
            channel.exports().release(oid);
            channel.pipeWriter().submit(ioId, () -> quietly(writer::close));
        }
    }

    /** Releases a writer of the receiver without closing it. */
    public static final class Unexport extends Command {
        private static final long serialVersionUID = 1;
        private final int ioId;
        private final int oid;

        Unexport(int ioId, int oid) {
            super(false);
            this.ioId = ioId;
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) {
            if (!channel.exports().release(oid)) channel.complain("ProxyWriter$Unexport for oid " + oid + ", which is not exported");
        }
    }

    /** Gives room back to the sender of chunks, in characters. */
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

        NotifyDeadWriter(int oid) {
            super(true);
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) {
            channel.deadWriter(oid, new IOException("the other side cannot write to writer " + oid));
        }
    }
}
