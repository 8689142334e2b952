package io.pilotfish.shim;

import com.sun.net.httpserver.HttpServer;
import groovy.json.JsonSlurperClassic;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A controller that only gives answers that were recorded. */
final class Recorded implements AutoCloseable {
    private final HttpServer server;
    final List<String> asked = new ArrayList<>();

    Recorded(Path recordings) throws Exception {
        Map<String, Map<?, ?>> answers = new HashMap<>();
        try (var files = Files.list(recordings)) {
            for (Path file : files.filter(one -> one.toString().endsWith(".json")).sorted().toList()) {
                Map<?, ?> exchange = (Map<?, ?>) new JsonSlurperClassic().parseText(Files.readString(file));
                Map<?, ?> request = (Map<?, ?>) exchange.get("request");
                answers.putIfAbsent(request.get("method") + " " + request.get("path"), (Map<?, ?>) exchange.get("response"));
            }
        }
        Map<?, ?> missing = (Map<?, ?>) ((Map<?, ?>) new JsonSlurperClassic().parseText(
            Files.readString(recordings.resolve("08-missing-job.json")))).get("response");
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            String path = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
            asked.add(path);
            // The recording has the whole answer; a part of it is what `tree` asks for.
            Map<?, ?> answer = answers.containsKey(path) ? answers.get(path) : missing;
            for (Object header : (List<?>) answer.get("headers")) {
                List<?> pair = (List<?>) header;
                String name = pair.get(0).toString();
                if (!name.equals("Content-Length") && !name.equals("Date")) exchange.getResponseHeaders().add(name, pair.get(1).toString());
            }
            byte[] body = answer.get("body").toString().getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(((Number) answer.get("status")).intValue(), body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
