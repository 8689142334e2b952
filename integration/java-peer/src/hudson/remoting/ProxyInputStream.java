package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.Serializable;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;

/** Reads a stream of the other side one request at a time (remoting-channel 2, ProxyInputStream). */
public final class ProxyInputStream extends InputStream {
    private final Channel channel;
    private final int oid;
    private boolean closed;

    ProxyInputStream(Channel channel, int oid) {
        this.channel = channel;
        this.oid = oid;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
        if (length == 0) return 0;
        if (closed) throw new IOException("stream is closed");
        Chunk request = new Chunk(oid, length);
        try {
            channel.start(request);
            Response answer = channel.await(request, Channel.ANSWER_SECONDS);
            if (answer.exception != null) throw new IOException(answer.exception);
            Buffer buffer = (Buffer) answer.returnValue;
            if (buffer.len > length) throw new IOException("asked for " + length + " bytes, got " + buffer.len);
            if (buffer.len > 0) System.arraycopy(buffer.buf, 0, target, offset, buffer.len);
            return buffer.len;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    @Override
    public void close() throws IOException {
        if (closed) return;
        closed = true;
        channel.send(new EOF(oid));
    }

    /** What was read. */
    public static final class Buffer implements Serializable {
        private static final long serialVersionUID = 1;
        private final byte[] buf;
        private final int len;

        Buffer(byte[] buf, int len) {
            this.buf = buf;
            this.len = len;
        }
    }

    /** Asks for up to {@code len} bytes of a stream of the receiver. */
    public static final class Chunk extends Request {
        private static final long serialVersionUID = 1;
        private final int oid;
        private final int len;

        Chunk(int oid, int len) {
            super(true);
            this.oid = oid;
            this.len = len;
        }

        @Override
        protected Serializable perform(Channel channel) throws IOException, ExecutionException {
            InputStream in = (InputStream) channel.exports().get(oid);
            byte[] bytes = new byte[Math.min(len, 1 << 20)];
            int n = in.read(bytes);
            // The buffer has the requested length (seen on the wire), filled or not.
            return new Buffer(bytes.length == len ? bytes : Arrays.copyOf(bytes, len), n);
        }
    }

    /** Closes a stream of the receiver and releases it. */
    public static final class EOF extends Command {
        private static final long serialVersionUID = 1;
        private final int oid;

        EOF(int oid) {
            super(true);
            this.oid = oid;
        }

        @Override
        protected void execute(Channel channel) throws IOException, ExecutionException {
            InputStream in = (InputStream) channel.exports().get(oid);
            channel.exports().release(oid);
            in.close();
        }
    }
}
