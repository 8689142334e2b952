package io.pilotfish.shim;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import groovy.json.JsonOutput;
import groovy.json.JsonSlurperClassic;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.function.UnaryOperator;

/** Signs a plan and takes events; can also do everything wrong that a library must notice. */
final class FakeBridge implements AutoCloseable {
    static final String TOKEN = "pfb_the-token-of-this-controller";
    static final String BUILD_TOKEN = "pft1.the-token-of-this-build";
    static final String EVALUATION = "application/vnd.pilotfish.signed-evaluation.v1+json";
    static final String TYPE = "application/vnd.pilotfish.signed-plan.v1+json";

    private final HttpServer server;
    private final KeyPair keys = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    private final Map<?, ?> document;
    final List<Map<?, ?>> events = new ArrayList<>();
    final List<Map<?, ?>> questions = new ArrayList<>();
    final List<Object> evaluations = new ArrayList<>();
    /** Changes what is signed. */
    UnaryOperator<Map<String, Object>> claims = all -> all;
    /** The same for evaluations. */
    UnaryOperator<Map<String, Object>> evaluationClaims = all -> all;
    /** Changes what is sent after it was signed. */
    UnaryOperator<Map<String, Object>> envelope = all -> all;
    /** Decisions by node. */
    Map<String, Map<String, Object>> decisions = Map.of();
    /** Statuses of the next answers, with their bodies; 0 breaks the connection off. */
    final List<Map.Entry<Integer, String>> troubles = new ArrayList<>();
    /** Breaks off each connection that brings events. */
    boolean losesEvents;
    /** The same for locks. */
    boolean losesLocks;
    /** The run that has the build already. */
    String claimedBy;
    final List<Object> claimed = new ArrayList<>();
    /** What is known of the build and its pod, each time that it is asked for. */
    final List<Map<String, Object>> start = new ArrayList<>();
    /** What is said of locks, each time that one is asked for; that it is held where nothing is left. */
    final List<Map<String, Object>> locks = new ArrayList<>();
    /** What was asked about locks. */
    final List<String> lockRequests = new ArrayList<>();
    /** So many requests for locks are lost after the first one. */
    int lockTroubles;
    /** Why a milestone is not passed. */
    String newer;
    /** Knows no locks and no milestones. */
    boolean isOld;
    /** What each evaluation is refused by. */
    String refusesEvaluations;

    FakeBridge(Map<?, ?> document) throws Exception {
        this.document = document;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        }));
        server.createContext("/", this::handle);
        server.start();
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    String publicKey() {
        return Base64.getEncoder().encodeToString(keys.getPublic().getEncoded());
    }

    String digest() {
        return document.get("digest").toString();
    }

    private void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String token = exchange.getRequestHeaders().getFirst("Authorization");
        byte[] bytes = exchange.getRequestBody().readAllBytes();
        String text = bytes.length == 0 ? "{}" : new String(bytes, StandardCharsets.UTF_8);
        Map<?, ?> body = (Map<?, ?>) new JsonSlurperClassic().parseText(text);
        int status = 200;
        String answer;
        try {
            boolean plans = path.equals("/v1/plans");
            if (path.endsWith("/locks") && locks.isEmpty() && lockTroubles-- > 0) {
                exchange.close();
                return;
            }
            if (losesEvents && path.endsWith("/events") || losesLocks && path.contains("/locks")) {
                exchange.close();
                return;
            }
            if (!troubles.isEmpty()) {
                Map.Entry<Integer, String> trouble = troubles.remove(0);
                if (trouble.getKey() == 0) {
                    exchange.close();
                    return;
                }
                status = trouble.getKey();
                answer = trouble.getValue();
            } else if (path.equals("/v1/builds/r-1/claim") && ("Bearer " + TOKEN).equals(token)) {
                claimed.add(body);
                if (claimedBy != null) status = 409;
                answer = claimedBy == null ? JsonOutput.toJson(body) : JsonOutput.toJson(Map.of("title", "A conflict",
                    "detail", claimedBy + " runs this build already; run nothing and end as not built"));
            } else if (!("Bearer " + (plans ? TOKEN : BUILD_TOKEN)).equals(token)) {
                throw new IllegalStateException("the token of " + path + " is " + token);
            } else if (plans) {
                answer = plan(body);
            } else if (path.equals("/v1/builds/b-1") && exchange.getRequestMethod().equals("GET")) {
                answer = JsonOutput.toJson(start.isEmpty() ? Map.of("id", "b-1") : start.remove(0));
            } else if ((path.contains("/locks") || path.endsWith("/milestones")) && isOld) {
                status = 404;
                answer = JsonOutput.toJson(Map.of("title", "Not found", "detail", "there is no such path"));
            } else if (path.startsWith("/v1/builds/b-1/locks")) {
                boolean asks = path.endsWith("/locks");
                lockRequests.add((asks ? "lock: " : "release: ") + body.get("stage"));
                Map<String, Object> held = Map.of("state", asks ? "held" : "free");
                answer = JsonOutput.toJson(asks && !locks.isEmpty() ? locks.remove(0) : held);
            } else if (path.equals("/v1/builds/b-1/milestones")) {
                lockRequests.add("milestone: " + body.get("stage"));
                answer = JsonOutput.toJson(newer == null ? Map.of("passed", true) : Map.of("passed", false, "reason", newer));
            } else if (path.endsWith("/evaluate")) {
                evaluations.add(body);
                if (refusesEvaluations != null) status = 401;
                answer = evaluation(bytes);
                if (refusesEvaluations != null) answer = refusesEvaluations;
            } else {
                for (Object one : (List<?>) body.get("events")) events.add((Map<?, ?>) one);
                answer = "{\"received\":1,\"added\":1}";
            }
        } catch (Exception e) {
            status = 500;
            answer = JsonOutput.toJson(Map.of("title", "The test failed", "detail", e.toString()));
        }
        byte[] sent = answer.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, sent.length);
        exchange.getResponseBody().write(sent);
        exchange.close();
    }

    private Map<String, Object> sign(String type, Map<String, Object> claims) throws Exception {
        byte[] payload = JsonOutput.toJson(claims).getBytes(StandardCharsets.UTF_8);
        Signature signature = Signature.getInstance("Ed25519");
        signature.initSign(keys.getPrivate());
        signature.update(("DSSEv1 " + type.length() + " " + type + " " + payload.length + " ").getBytes(StandardCharsets.UTF_8));
        signature.update(payload);
        Base64.Encoder base64 = Base64.getEncoder();
        return new HashMap<>(Map.of("payloadType", type, "payload", base64.encodeToString(payload),
            "signatures", List.of(Map.of("keyid", "0", "sig", base64.encodeToString(signature.sign())))));
    }

    private String evaluation(byte[] question) throws Exception {
        List<Object> decided = new ArrayList<>();
        decisions.forEach((id, decision) -> decided.add(Map.of("id", id, "decision", decision)));
        long now = System.currentTimeMillis() / 1000;
        String request = "sha256:" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(question));
        Map<String, Object> all = new LinkedHashMap<>(Map.of("build", "b-1", "decisions", decided, "digest", digest(), "expires_at", now + 3600,
            "format", "pilotfish/signed-evaluation/v1", "issued_at", now, "request", request));
        return JsonOutput.toJson(Map.of("digest", digest(), "decisions", List.of(), "signed", sign(EVALUATION, evaluationClaims.apply(all))));
    }

    private String plan(Map<?, ?> question) throws Exception {
        questions.add(question);
        long now = System.currentTimeMillis() / 1000;
        Map<String, Object> all = new LinkedHashMap<>(Map.of("build", "b-1", "controller", question.get("controller"),
            "job", question.get("job"), "number", question.get("build"), "digest", document.get("digest"), "plan", document.get("plan"),
            "format", "pilotfish/signed-plan/v1", "issued_at", now, "expires_at", now + 3600));
        Map<String, Object> answer = new HashMap<>(Map.of("digest", digest(), "build", Map.of("id", "b-1", "token", BUILD_TOKEN,
            "expires_at", now + 3600, "is_known", false), "binding", Map.of("rule", "all", "unmapped", List.of("OLD"), "origins", Map.of())));
        answer.put("signed", envelope.apply(sign(TYPE, claims.apply(all))));
        return JsonOutput.toJson(answer);
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
