package pilotfish.peer.net;

import hudson.remoting.Capability;
import hudson.remoting.Channel;
import hudson.remoting.ChunkFraming;
import hudson.remoting.JarLoader;
import java.io.BufferedInputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Serves {@code /login}, {@code /wsagents/} and the way to the agent port on loopback as a controller does (remoting-transport 3.1, 4.1). */
public final class PeerServer implements Closeable, AgentPort.Desk {
    private static final String MINIMUM_VERSION = "3176.v207ec082a_8c0";
    private static final String ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private static final String ALREADY_CONNECTED = " is already connected to this controller. Rejecting this connection.";
    private static final int LARGEST_HEAD = 16 << 10;

    private final ServerSocket listener;
    private final String secret;
    private final AtomicInteger downloads = new AtomicInteger();
    private volatile JarLoader.Library library;
    private volatile boolean libraryOverHttp;
    private final ExecutorService workers = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "peer");
        thread.setDaemon(true);
        return thread;
    });
    private final ScheduledExecutorService pinger = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "WebSocket pings");
        thread.setDaemon(true);
        return thread;
    });
    private final Map<String, AgentConnection> connected = new ConcurrentHashMap<>();
    private final BlockingQueue<AgentConnection> arrivals = new LinkedBlockingQueue<>();
    private AgentPort agentPort;

    /** Listens on a port, 0 for a free one, of an address of this machine. */
    public PeerServer(String address, int port, String secret) throws IOException {
        this.secret = secret;
        listener = new ServerSocket(port, 1024, InetAddress.getByName(address));
        workers.execute(this::acceptAll);
        pinger.scheduleAtFixedRate(this::pingAll, 15, 30, TimeUnit.SECONDS);
    }

    public int port() {
        return listener.getLocalPort();
    }

    public String url() {
        return "http://" + listener.getInetAddress().getHostAddress() + ":" + port() + "/";
    }

    /** Has a remoting library for agents from now on, over channels and, if wanted, over HTTP. */
    public void offer(JarLoader.Library library, boolean overHttp) {
        this.library = library;
        libraryOverHttp = overHttp;
    }

    /** How often the library was fetched over HTTP. */
    public int downloads() {
        return downloads.get();
    }

    /** The next agent that connects, or null after that time. */
    public AgentConnection nextAgent(long seconds) throws InterruptedException {
        return arrivals.poll(seconds, TimeUnit.SECONDS);
    }

    /** The port for agents over TCP; opened when it is first asked for. */
    public synchronized AgentPort agentPort() throws IOException, GeneralSecurityException {
        if (agentPort == null) agentPort = new AgentPort(this, workers);
        return agentPort;
    }

    private void acceptAll() {
        while (!listener.isClosed()) {
            try {
                Socket socket = listener.accept();
                socket.setTcpNoDelay(true);
                workers.execute(() -> serve(socket));
            } catch (IOException e) {
                if (!listener.isClosed()) System.err.println("accept failed: " + e.getMessage());
            }
        }
    }

    private void pingAll() {
        for (AgentConnection agent : connected.values()) {
            try {
                if (agent.socket() != null) agent.socket().ping(new byte[0]);
            } catch (IOException e) {
                // Its reader sees the end.
            }
        }
    }

    private void serve(Socket socket) {
        try (socket) {
            DataInputStream in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 1 << 16));
            Map<String, String> head = readHead(in);
            String[] request = head.get("").split(" ");
            String path = request.length > 1 ? request[1] : "";
            if (!request[0].equals("GET")) refuse(socket, "405 Method Not Allowed", "Only GET is served");
            else if (path.equals("/login") || path.equals("/")) answer(socket, "200 OK", "<html><title>Sign in</title></html>");
            else if (path.equals("/jnlpJars/remoting.jar") && libraryOverHttp) {
                downloads.incrementAndGet();
                answer(socket, "200 OK", "application/java-archive", library.jar());
            } else if (path.equals("/wsagents/")) upgrade(socket, in, head);
            else if (path.equals("/tcpSlaveAgentListener/")) tellAgentPort(socket);
            else refuse(socket, "404 Not Found", "Not Found");
        } catch (IOException e) {
            // The client left; nothing was promised to it.
        }
    }

    /** Header names in lower case; the request line under the empty name. */
    private static Map<String, String> readHead(DataInputStream in) throws IOException {
        StringBuilder text = new StringBuilder();
        while (text.indexOf("\r\n\r\n") < 0) {
            if (text.length() > LARGEST_HEAD) throw new IOException("request head too large");
            int from = text.length();
            String line = readLine(in);
            text.append(line).append("\r\n");
            if (line.isEmpty()) break;
            if (text.length() == from) throw new IOException("no progress");
        }
        Map<String, String> head = new HashMap<>();
        for (String line : text.toString().split("\r\n")) {
            int colon = line.indexOf(':');
            if (head.isEmpty()) head.put("", line);
            else if (colon > 0) head.put(line.substring(0, colon).trim().toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        if (head.isEmpty()) throw new IOException("empty request");
        return head;
    }

    private static String readLine(DataInputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int b = in.readUnsignedByte(); b != '\n'; b = in.readUnsignedByte()) {
            if (b != '\r') line.append((char) b);
            if (line.length() > LARGEST_HEAD) throw new IOException("header line too long");
        }
        return line.toString();
    }

    private static void answer(Socket socket, String status, String body) throws IOException {
        answer(socket, status, "text/html;charset=utf-8", body.getBytes(StandardCharsets.UTF_8));
    }

    private static void answer(Socket socket, String status, String type, byte[] bytes) throws IOException {
        String head = "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\nContent-Length: " + bytes.length + "\r\nConnection: close\r\n\r\n";
        OutputStream out = socket.getOutputStream();
        out.write(head.getBytes(StandardCharsets.ISO_8859_1));
        out.write(bytes);
        out.flush();
    }

    /** The text stands in the title only, as on a controller (live-findings 19). */
    private static void refuse(Socket socket, String status, String text) throws IOException {
        answer(socket, status, "<html><head><title>" + text + "</title></head><body><h1>Oops!</h1></body></html>");
    }

    private void tellAgentPort(Socket socket) throws IOException {
        try {
            AgentPort port = agentPort();
            String head = "HTTP/1.1 200 OK\r\nX-Jenkins-JNLP-Port: " + port.port() + "\r\nX-Instance-Identity: " + port.publicKey()
                    + "\r\nX-Jenkins-Agent-Protocols: " + AgentPort.PROTOCOL + ", Ping\r\nX-Remoting-Minimum-Version: " + MINIMUM_VERSION
                    + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.ISO_8859_1));
        } catch (GeneralSecurityException e) {
            refuse(socket, "500 Server Error", e.toString());
        }
    }

    @Override
    public String refusal(String name, String given, String cookie) {
        if (name == null) return "Unknown client name: null";
        if (given == null || !isSecret(given)) return "Authorization failure";
        return isTaken(name, cookie) ? name + ALREADY_CONNECTED : null;
    }

    @Override
    public boolean arrived(AgentConnection agent) {
        if (connected.putIfAbsent(agent.name(), agent) != null) return false;
        arrivals.add(agent);
        return true;
    }

    @Override
    public void left(AgentConnection agent) {
        connected.remove(agent.name(), agent);
    }

    private boolean isSecret(String given) {
        return MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8), secret.getBytes(StandardCharsets.UTF_8));
    }

    /** Whether the name belongs to a live connection; one with the same cookie gives way. */
    private boolean isTaken(String name, String cookie) {
        AgentConnection before = connected.get(name);
        if (before == null) return false;
        if (cookie == null || !cookie.equals(before.cookie())) return true;
        // First, since a goodbye could wait for ever on a line that nobody reads any more.
        if (before.socket() != null) before.socket().drop();
        before.channel().terminate("the agent connected again");
        connected.remove(name, before);
        return false;
    }

    private void upgrade(Socket socket, DataInputStream in, Map<String, String> head) throws IOException {
        String name = head.get("node-name");
        String given = head.get("secret-key");
        String capability = head.get("x-remoting-capability");
        String key = head.get("sec-websocket-key");
        if (name == null || given == null || capability == null || key == null || !"websocket".equalsIgnoreCase(head.get("upgrade"))) {
            refuse(socket, "400 Bad Request", "This endpoint is only for use from agent.jar in WebSocket mode");
            return;
        }
        if (!isSecret(given)) {
            answer(socket, "403 Forbidden", "");
            return;
        }
        String cookie = head.get("connection-cookie");
        if (cookie != null && !cookie.matches("([0-9a-fA-F]{2})+")) {
            refuse(socket, "500 Server Error", "cookie is not hex of even length");
            return;
        }
        Capability offered;
        try {
            offered = Capability.decode(capability);
        } catch (IOException e) {
            refuse(socket, "400 Bad Request", e.getMessage());
            return;
        }
        if (isTaken(name, cookie)) {
            refuse(socket, "400 Bad Request", name + ALREADY_CONNECTED);
            return;
        }
        String granted = cookie != null ? cookie : newCookie();
        WebSocketConnection webSocket = new WebSocketConnection(socket, in);
        Channel channel = new Channel(name, new Channel.Transport() {
            @Override
            public void send(byte[] command) throws IOException {
                webSocket.sendCommand(command);
            }

            @Override
            public void close() {
                webSocket.close();
            }
        }, workers, true);
        if (library != null) channel.setProperty(JarLoader.OURS, library);
        AgentConnection agent = new AgentConnection(name, granted, offered, channel, webSocket);
        if (connected.putIfAbsent(name, agent) != null) {
            refuse(socket, "400 Bad Request", name + ALREADY_CONNECTED);
            return;
        }
        String end = "the agent left before the upgrade";
        try {
            switchProtocols(socket, key, granted);
            arrivals.add(agent);
            ChunkFraming framing = new ChunkFraming(channel::receive);
            end = webSocket.read(framing::feed);
        } finally {
            connected.remove(name, agent);
            channel.terminate(end);
            webSocket.drop();
        }
    }

    private static void switchProtocols(Socket socket, String key, String cookie) throws IOException {
        String head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: " + acceptKey(key) + "\r\n"
                + "X-Remoting-Capability: " + new Capability(Capability.CURRENT).encode() + "\r\n"
                + "X-Remoting-Minimum-Version: " + MINIMUM_VERSION + "\r\n"
                + "Connection-Cookie: " + cookie + "\r\n\r\n";
        socket.getOutputStream().write(head.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static String acceptKey(String key) {
        try {
            MessageDigest sha1 = MessageDigest.getInstance("SHA-1");
            return Base64.getEncoder().encodeToString(sha1.digest((key + ACCEPT_GUID).getBytes(StandardCharsets.ISO_8859_1)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public String newCookie() {
        byte[] bytes = new byte[32];
        new SecureRandom().nextBytes(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    /** Stops listening; connections go with their channels. */
    @Override
    public void close() throws IOException {
        listener.close();
        pinger.shutdownNow();
        synchronized (this) {
            if (agentPort != null) agentPort.close();
        }
    }
}
