package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;

/** Bytes from one thread to another through a bounded buffer. */
public final class BytePipe {
    private final byte[] buffer;
    private int start;
    private int count;
    private boolean ended;
    private boolean readerGone;
    private Throwable failure;
    private final In in = new In();
    private final Out out = new Out();

    public BytePipe(int capacity) {
        buffer = new byte[capacity];
    }

    public InputStream in() {
        return in;
    }

    public OutputStream out() {
        return out;
    }

    private void pause() throws IOException {
        try {
            wait();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    private synchronized int take(byte[] target, int offset, int length) throws IOException {
        if (length == 0) return 0;
        while (count == 0) {
            if (failure != null) throw new IOException(failure);
            if (ended) return -1;
            pause();
        }
        int n = Math.min(Math.min(length, count), buffer.length - start);
        System.arraycopy(buffer, start, target, offset, n);
        start = (start + n) % buffer.length;
        count -= n;
        notifyAll();
        return n;
    }

    private synchronized void put(byte[] source, int from, int size) throws IOException {
        int offset = from;
        int length = size;
        while (length > 0) {
            if (ended) throw new IOException("pipe is closed");
            if (readerGone) throw new IOException("reader of the pipe is gone");
            if (count == buffer.length) {
                pause();
                continue;
            }
            int end = (start + count) % buffer.length;
            int n = Math.min(Math.min(length, buffer.length - count), buffer.length - end);
            System.arraycopy(source, offset, buffer, end, n);
            offset += n;
            length -= n;
            count += n;
            notifyAll();
        }
    }

    private synchronized void end(Throwable cause) {
        if (!ended) failure = cause;
        ended = true;
        notifyAll();
    }

    private synchronized void leave() {
        readerGone = true;
        count = 0;
        notifyAll();
    }

    private final class In extends InputStream {
        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return take(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            return take(target, offset, length);
        }

        @Override
        public void close() {
            leave();
        }
    }

    private final class Out extends OutputStream implements ErrorPropagatingOutputStream {
        @Override
        public void write(int b) throws IOException {
            put(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] source, int offset, int length) throws IOException {
            put(source, offset, length);
        }

        @Override
        public void close() {
            end(null);
        }

        @Override
        public void error(Throwable cause) {
            end(cause);
        }
    }
}
