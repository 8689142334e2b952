package pilotfish.peer.net;

import hudson.remoting.ChunkFraming;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The server's end of a WebSocket (RFC 6455): masked frames in, plain frames out, binary messages only. */
public final class WebSocketConnection implements Closeable {
    /** A controller's limit for one message (live-findings 7). */
    private static final int LARGEST_MESSAGE = 65536;
    private static final int CONTINUATION = 0;
    private static final int TEXT = 1;
    private static final int BINARY = 2;
    private static final int CLOSE = 8;
    private static final int PING = 9;
    private static final int PONG = 10;

    private final Socket socket;
    private final DataInputStream in;
    private final OutputStream out;
    private boolean closeSent;
    private int pongs;
    private int largestMessage;

    /** A breach of the WebSocket protocol, with the close code that answers it. */
    private static final class Violation extends IOException {
        private static final long serialVersionUID = 1L;
        private final int code;

        Violation(int code, String message) {
            super(message);
            this.code = code;
        }
    }

    WebSocketConnection(Socket socket, DataInputStream in) throws IOException {
        this.socket = socket;
        this.in = in;
        this.out = new BufferedOutputStream(socket.getOutputStream(), 1 << 16);
    }

    /** Receives the content of binary messages. */
    interface Receiver {
        void message(byte[] content) throws IOException;
    }

    /** Reads until the end; answers why it ended. */
    String read(Receiver receiver) {
        try {
            while (true) {
                byte[] message = nextMessage();
                if (message == null) return "WebSocket closed by the agent";
                receiver.message(message);
            }
        } catch (Violation e) {
            close(e.code, e.getMessage());
            return e.getMessage();
        } catch (EOFException e) {
            return "connection lost";
        } catch (IOException e) {
            return "connection failed: " + e.getMessage();
        }
    }

    private byte[] nextMessage() throws IOException {
        ByteArrayOutputStream message = null;
        while (true) {
            int first = in.readUnsignedByte();
            boolean last = (first & 0x80) != 0;
            if ((first & 0x70) != 0) throw new Violation(1002, "reserved bits are set");
            int opcode = first & 0x0F;
            byte[] payload = payload(opcode, message == null ? 0 : message.size());
            if (opcode >= CLOSE) {
                if (!last) throw new Violation(1002, "a control frame in fragments");
                if (!control(opcode, payload)) return null;
                continue;
            }
            if (opcode == TEXT) throw new Violation(1003, "text messages are not used");
            if (opcode != BINARY && opcode != CONTINUATION) throw new Violation(1002, "opcode " + opcode);
            if ((opcode == CONTINUATION) != (message != null)) throw new Violation(1002, "a fragment out of order");
            if (last && message == null) {
                largestMessage = Math.max(largestMessage, payload.length);
                return payload;
            }
            if (message == null) message = new ByteArrayOutputStream();
            message.write(payload);
            if (last) {
                largestMessage = Math.max(largestMessage, message.size());
                return message.toByteArray();
            }
        }
    }

    private byte[] payload(int opcode, int before) throws IOException {
        int second = in.readUnsignedByte();
        if ((second & 0x80) == 0) throw new Violation(1002, "a frame of a client without mask");
        long length = second & 0x7F;
        if (opcode >= CLOSE && length > 125) throw new Violation(1002, "a control frame of more than 125 bytes");
        if (length == 126) length = in.readUnsignedShort();
        else if (length == 127) length = in.readLong();
        if (length < 0 || length + before > LARGEST_MESSAGE) {
            throw new Violation(1009, "Binary message too large: " + (length + before) + " > " + LARGEST_MESSAGE);
        }
        byte[] mask = new byte[4];
        in.readFully(mask);
        byte[] payload = new byte[(int) length];
        in.readFully(payload);
        for (int i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3];
        return payload;
    }

    /** False at the end. */
    private boolean control(int opcode, byte[] payload) throws IOException {
        switch (opcode) {
            case CLOSE:
                close(1000, "");
                return false;
            case PING:
                frame(PONG, payload, true);
                return true;
            case PONG:
                synchronized (this) {
                    pongs++;
                    notifyAll();
                }
                return true;
            default:
                throw new Violation(1002, "opcode " + opcode);
        }
    }

    private synchronized void frame(int opcode, byte[] payload, boolean flush) throws IOException {
        if (closeSent) throw new IOException("WebSocket is closed");
        out.write(0x80 | opcode);
        if (payload.length < 126) {
            out.write(payload.length);
        } else if (payload.length < 65536) {
            out.write(126);
            out.write(payload.length >> 8);
            out.write(payload.length);
        } else {
            throw new IOException("a message of " + payload.length + " bytes");
        }
        out.write(payload);
        if (opcode == CLOSE) closeSent = true;
        if (flush) out.flush();
    }

    /** Sends one command, one chunk per message. */
    public synchronized void sendCommand(byte[] command) throws IOException {
        for (int offset = 0; offset < command.length || offset == 0; offset += ChunkFraming.PAYLOAD) {
            boolean last = offset + ChunkFraming.PAYLOAD >= command.length;
            frame(BINARY, ChunkFraming.chunk(command, offset), last);
            if (last) return;
        }
    }

    public void ping(byte[] payload) throws IOException {
        frame(PING, payload, true);
    }

    /** Pongs seen so far. */
    public synchronized int pongs() {
        return pongs;
    }

    /** Waits until more than {@code before} pongs have come. */
    public synchronized boolean awaitPong(int before, long millis) throws InterruptedException {
        long end = System.currentTimeMillis() + millis;
        while (pongs <= before && System.currentTimeMillis() < end) wait(Math.max(1, end - System.currentTimeMillis()));
        return pongs > before;
    }

    /** Bytes of the largest message received. */
    public int largestMessage() {
        return largestMessage;
    }

    void close(int code, String reason) {
        byte[] text = reason.getBytes(StandardCharsets.UTF_8);
        byte[] payload = Arrays.copyOf(new byte[] {(byte) (code >> 8), (byte) code}, Math.min(text.length, 120) + 2);
        System.arraycopy(text, 0, payload, 2, payload.length - 2);
        try {
            frame(CLOSE, payload, true);
        } catch (IOException e) {
            // Closed already.
        }
    }

    /** Cuts the connection without a word. */
    @Override
    public void close() {
        close(1000, "");
        try {
            socket.shutdownOutput();
        } catch (IOException e) {
            // Gone already.
        }
    }

    /** Frees the socket. */
    void drop() {
        try {
            socket.close();
        } catch (IOException e) {
            // Gone already.
        }
    }
}
