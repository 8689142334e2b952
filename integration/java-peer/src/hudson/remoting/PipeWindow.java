package hudson.remoting;

import java.io.IOException;

/** How much may still be sent to one remote stream before an Ack comes (remoting-channel 4). */
final class PipeWindow {
    static final int SIZE = 1 << 20;
    private static final int SMALL = 100 << 10;
    private static final int LARGEST_CHUNK = SIZE / 2;

    private int available = SIZE;
    private IOException dead;

    /** Waits for room and takes up to {@code wanted} units of it. */
    synchronized int take(int wanted) throws IOException {
        while (dead == null && available < Math.min(SMALL, wanted)) {
            try {
                wait();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new java.io.InterruptedIOException("interrupted while the window was full");
            }
        }
        if (dead != null) throw new IOException("Pipe is already closed", dead);
        int taken = Math.min(Math.min(available, wanted), LARGEST_CHUNK);
        available -= taken;
        return taken;
    }

    /** Returns room; true when more was returned than was ever taken. */
    synchronized boolean acknowledge(int size) {
        available += size;
        notifyAll();
        return available > SIZE;
    }

    synchronized void kill(IOException cause) {
        dead = cause;
        notifyAll();
    }

    synchronized int unacknowledged() {
        return SIZE - available;
    }

    synchronized boolean isDead() {
        return dead != null;
    }
}
