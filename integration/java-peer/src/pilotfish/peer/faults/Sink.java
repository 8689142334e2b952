package pilotfish.peer.faults;

import java.io.IOException;
import java.io.OutputStream;

/**
 * The end of a build's log for one connection. What arrives after the connection was given up is not taken: the next one
 * asks for it again.
 */
final class Sink extends OutputStream {
    private final OutputStream log;
    private boolean sealed;

    Sink(OutputStream log) {
        this.log = log;
    }

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public synchronized void write(byte[] source, int offset, int length) throws IOException {
        if (sealed) throw new IOException("this connection's log was given up");
        log.write(source, offset, length);
    }

    /** A controller never closes the log of a build with its connection. */
    @Override
    public void close() {}

    synchronized void seal() {
        sealed = true;
    }
}
