package pilotfish.peer.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.PeerServer;

/** Takes N agents through the connect sequence and holds them idle. */
public final class Serve {
    private Serve() {}

    /**
     * Prints {@code {"connected": [{"name", "upgraded_s", "online_s"}], …}} once all are online, times in seconds since
     * the server began to listen; then idles for {@code --hold} seconds, or until standard input ends if that is 0.
     */
    public static int run(PeerServer server, Options options, String root) throws Exception {
        int wanted = options.number("agents", 1);
        long begin = System.nanoTime();
        long deadline = begin + options.number("wait", 120) * 1_000_000_000L;
        List<Map<String, Object>> online = new ArrayList<>();
        List<String> failures = new ArrayList<>();
        List<AgentConnection> agents = new ArrayList<>();
        CountDownLatch done = new CountDownLatch(wanted);
        ExecutorService sequences = Executors.newFixedThreadPool(Math.max(4, Runtime.getRuntime().availableProcessors() * 4));
        while (agents.size() < wanted) {
            AgentConnection agent = server.nextAgent(Math.max(1, (deadline - System.nanoTime()) / 1_000_000_000L));
            if (agent == null) break;
            agents.add(agent);
            double upgraded = (System.nanoTime() - begin) / 1e9;
            sequences.execute(() -> {
                try {
                    new ConnectSequence(agent.channel(), root).setUp();
                    Map<String, Object> line = new LinkedHashMap<>();
                    line.put("name", agent.name());
                    line.put("upgraded_s", upgraded);
                    line.put("online_s", (System.nanoTime() - begin) / 1e9);
                    synchronized (online) {
                        online.add(line);
                    }
                } catch (Exception e) {
                    synchronized (failures) {
                        failures.add(agent.name() + ": " + e);
                    }
                } finally {
                    done.countDown();
                }
            });
        }
        if (agents.size() == wanted) done.await(Math.max(1, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
        sequences.shutdown();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("wanted", wanted);
        synchronized (online) {
            result.put("online", online.size());
            result.put("last_online_s", online.stream().mapToDouble(line -> (Double) line.get("online_s")).max().orElse(-1));
            result.put("connected", List.copyOf(online));
        }
        synchronized (failures) {
            result.put("failures", List.copyOf(failures));
        }
        System.out.println(Json.of(result));
        System.out.flush();
        boolean complete = (Integer) result.get("online") == wanted;
        if (complete) idle(options.number("hold", 0));
        long lost = agents.stream().filter(agent -> agent.channel().closed().isDone()).count();
        for (AgentConnection agent : agents) {
            if (!agent.channel().closed().isDone()) agent.channel().close();
        }
        System.out.println(Json.of(Map.of("lost_while_idle", lost)));
        return complete && lost == 0 ? 0 : 1;
    }

    private static void idle(int seconds) throws Exception {
        if (seconds > 0) Thread.sleep(seconds * 1000L);
        else System.in.transferTo(java.io.OutputStream.nullOutputStream());
    }
}
