package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;

import java.util.concurrent.atomic.AtomicReference;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.AgentPort;
import pilotfish.peer.net.AgentPort.Attempt;
import pilotfish.peer.net.AgentPort.Plan;
import pilotfish.peer.net.PeerServer;

/** How an agent gets through to the agent port: refused first, then lost, then for good. */
public final class PortChecks {
    /** An agent waits 10 s after a refusal. */
    private static final int WAIT_SECONDS = 40;

    private PortChecks() {}

    /** What the agent is to meet; before it starts. */
    public static void prepare(PeerServer server) throws Exception {
        server.agentPort().plan(Plan.REFUSE, Plan.LOSE, Plan.SERVE);
    }

    /** Answers 0 when every check passed, those of the channel included. */
    public static int run(PeerServer server, Options options, String root) throws Exception {
        Checks checks = new Checks(null, 2 * WAIT_SECONDS);
        AgentPort port = server.agentPort();
        AtomicReference<String> granted = new AtomicReference<>();
        checks.check("port: a refusal is confirmed, and the agent comes back", () -> {
            Attempt refused = next(port, Plan.REFUSE);
            same("OK BYE end", refused.outcome(), "the agent's last words");
            same("TLSv1.3", refused.tls(), "version");
            same(null, refused.headers().get(AgentPort.COOKIE), "cookie of a first connection");
            same(options.get("name", "agent-1"), refused.headers().get("Node-Name"), "name");
        });
        checks.check("port: an agent is taken over TLS 1.2, and lost", () -> {
            Attempt lost = next(port, Plan.LOSE);
            same("TLSv1.2", lost.tls(), "version");
            same(null, lost.headers().get(AgentPort.COOKIE), "cookie after a refusal");
            granted.set(lost.cookie());
        });
        checks.check("port: it comes back over TLS 1.3, with the cookie", () -> {
            Attempt served = next(port, Plan.SERVE);
            same("TLSv1.3", served.tls(), "version");
            require(granted.get() != null, "there was no connection before");
            same(granted.get(), served.headers().get(AgentPort.COOKIE), "cookie");
        });
        AgentConnection agent = server.nextAgent(WAIT_SECONDS);
        if (agent == null || checks.failed() > 0) {
            System.out.println(checks.passed() + " checks of the port passed, " + checks.failed() + " failed");
            return 1;
        }
        return Conformance.run(agent, options, root);
    }

    private static Attempt next(AgentPort port, Plan plan) throws InterruptedException {
        Attempt attempt = port.nextAttempt(WAIT_SECONDS);
        require(attempt != null, "no connection within " + WAIT_SECONDS + " s");
        same(plan, attempt.plan(), "plan");
        return attempt;
    }
}
