package pilotfish.peer.net;

import hudson.remoting.Capability;
import hudson.remoting.Channel;
import hudson.remoting.ChunkFraming;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;

/** The port for inbound agents, with JNLP4-connect on the JDK's own TLS (remoting-transport 4.3). */
public final class AgentPort implements Closeable {
    /** The only protocol it speaks. */
    public static final String PROTOCOL = "JNLP4-connect";
    /** Name of the header with the cookie. */
    public static final String COOKIE = "JnlpAgentProtocol.cookie";

    private static final byte[] ACKNOWLEDGEMENT = {0, 3, 'A', 'C', 'K'};
    private static final Pattern HEADER = Pattern.compile("\"([^\"\\\\]*)\":\"([^\"\\\\]*)\"");
    /** How long a peer may take for each step before the channel. */
    private static final int HANDSHAKE_MILLIS = 30_000;

    private final ServerSocket listener;
    private final InstanceIdentity identity;
    private final SSLContext context;
    private final Desk desk;
    private final ExecutorService workers;
    private final Queue<Plan> plans = new ConcurrentLinkedQueue<>();
    private final BlockingQueue<Attempt> attempts = new LinkedBlockingQueue<>();

    /** Who decides about agents, and takes them. */
    interface Desk {
        /** Null if the agent may come, or the reason why not. */
        String refusal(String name, String secret, String cookie);

        /** False if another agent of that name came in between. */
        boolean arrived(AgentConnection agent);

        void left(AgentConnection agent);

        String newCookie();
    }

    /** What to do with the next connection. */
    public enum Plan {
        /** Take it, in the newest version of TLS. */
        SERVE,
        /** Refuse it with a reason, once the agent has introduced itself. */
        REFUSE,
        /** Take it in TLS 1.2, and drop it without a word. */
        LOSE
    }

    /** What became of a connection before its channel: {@code outcome} tells the agent's last words. */
    public record Attempt(Plan plan, String tls, Map<String, String> headers, String cookie, String outcome) {}

    AgentPort(Desk desk, ExecutorService workers) throws IOException, GeneralSecurityException {
        this.desk = desk;
        this.workers = workers;
        identity = new InstanceIdentity();
        context = identity.context();
        listener = new ServerSocket(0, 1024, InetAddress.getLoopbackAddress());
        workers.execute(this::acceptAll);
    }

    public int port() {
        return listener.getLocalPort();
    }

    String publicKey() throws GeneralSecurityException {
        return identity.publicKey();
    }

    /** What to do with the connections to come; those after them are served. */
    public void plan(Plan... next) {
        plans.addAll(Arrays.asList(next));
    }

    /** The next connection that an agent tried, or null after that time. */
    public Attempt nextAttempt(long seconds) throws InterruptedException {
        return attempts.poll(seconds, TimeUnit.SECONDS);
    }

    private void acceptAll() {
        while (!listener.isClosed()) {
            try {
                Socket socket = listener.accept();
                socket.setTcpNoDelay(true);
                workers.execute(() -> serve(socket));
            } catch (IOException e) {
                if (!listener.isClosed()) System.err.println("agent port: accept failed: " + e.getMessage());
            }
        }
    }

    private void serve(Socket socket) {
        try (socket) {
            socket.setSoTimeout(HANDSHAKE_MILLIS);
            DataInputStream in = new DataInputStream(socket.getInputStream());
            int first = in.read();
            // Discovery only looks whether the port is open.
            if (first < 0) return;
            byte[] rest = new byte[first << 8 | in.readUnsignedByte()];
            in.readFully(rest);
            String protocol = new String(rest, StandardCharsets.UTF_8);
            if (!protocol.equals("Protocol:" + PROTOCOL)) {
                socket.getOutputStream().write("Unknown protocol:\n".getBytes(StandardCharsets.UTF_8));
                return;
            }
            socket.getOutputStream().write(ACKNOWLEDGEMENT);
            byte[] acknowledgement = new byte[ACKNOWLEDGEMENT.length];
            in.readFully(acknowledgement);
            if (!Arrays.equals(acknowledgement, ACKNOWLEDGEMENT)) throw new IOException("no acknowledgement: " + Arrays.toString(acknowledgement));
            Plan plan = plans.poll();
            secure(socket, plan == null ? Plan.SERVE : plan);
        } catch (IOException e) {
            System.err.println("agent port: " + e);
        }
    }

    private void secure(Socket socket, Plan plan) throws IOException {
        SSLSocket tls = (SSLSocket) context.getSocketFactory().createSocket(socket, "agent", socket.getPort(), true);
        tls.setUseClientMode(false);
        tls.setWantClientAuth(true);
        if (plan == Plan.LOSE) tls.setEnabledProtocols(new String[] {"TLSv1.2"});
        tls.startHandshake();
        DataInputStream in = new DataInputStream(tls.getInputStream());
        OutputStream out = new BufferedOutputStream(tls.getOutputStream(), 1 << 16);
        String fresh = desk.newCookie();
        send(out, "{\"" + COOKIE + "\":\"" + fresh + "\"}");
        Map<String, String> headers = headers(receive(in));
        String refusal = plan == Plan.REFUSE
                ? "refused, come back"
                : desk.refusal(headers.get("Node-Name"), headers.get("Secret-Key"), headers.get(COOKIE));
        String version = tls.getSession().getProtocol();
        if (refusal != null) {
            send(out, "ERROR: " + refusal);
            String words = receive(in) + " " + receive(in) + (in.read() < 0 ? " end" : " more");
            attempts.add(new Attempt(plan, version, headers, fresh, words));
            return;
        }
        send(out, "OK");
        String verdict = receive(in);
        if (!verdict.equals("OK")) throw new IOException("the agent does not take the headers: " + verdict);
        send(out, new Capability(Capability.CURRENT).encode());
        Capability offered = Capability.decode(receive(in));
        attempts.add(new Attempt(plan, version, headers, fresh, verdict));
        if (plan == Plan.LOSE) {
            // A reset, as from a network that lost track of the connection.
            socket.setSoLinger(true, 0);
            socket.close();
            return;
        }
        socket.setSoTimeout(0);
        run(tls, in, out, new Identified(headers.get("Node-Name"), fresh, offered));
    }

    private record Identified(String name, String cookie, Capability capability) {}

    private void run(SSLSocket tls, InputStream in, OutputStream out, Identified who) throws IOException {
        Channel channel = new Channel(who.name(), new Channel.Transport() {
            @Override
            public void send(byte[] command) throws IOException {
                synchronized (out) {
                    for (int offset = 0; offset < command.length; offset += ChunkFraming.PAYLOAD) out.write(ChunkFraming.chunk(command, offset));
                    out.flush();
                }
            }

            @Override
            public void close() {
                try {
                    // The agent's last commands may still come.
                    if (!tls.isOutputShutdown()) tls.shutdownOutput();
                } catch (IOException e) {
                    // It is closed then.
                }
            }
        }, workers, true);
        AgentConnection agent = new AgentConnection(who.name(), who.cookie(), who.capability(), channel, null);
        if (!desk.arrived(agent)) return;
        String end = "closed by the agent";
        ChunkFraming framing = new ChunkFraming(channel::receive);
        byte[] buffer = new byte[1 << 16];
        try {
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) framing.feed(Arrays.copyOf(buffer, n));
        } catch (IOException e) {
            end = "connection failed: " + e.getMessage();
        }
        desk.left(agent);
        channel.terminate(end);
    }

    private static void send(OutputStream out, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        DataOutputStream data = new DataOutputStream(out);
        data.writeShort(bytes.length);
        data.write(bytes);
        data.flush();
    }

    private static String receive(DataInputStream in) throws IOException {
        byte[] bytes = new byte[in.readUnsignedShort()];
        in.readFully(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** As much of JSON as agents send here. */
    private static Map<String, String> headers(String text) throws IOException {
        Map<String, String> headers = new HashMap<>();
        Matcher matcher = HEADER.matcher(text);
        while (matcher.find()) headers.put(matcher.group(1), matcher.group(2));
        if (headers.isEmpty()) throw new IOException("no headers in " + text.length() + " characters");
        return headers;
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
