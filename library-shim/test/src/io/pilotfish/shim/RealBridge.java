package io.pilotfish.shim;

import groovy.json.JsonOutput;
import groovy.json.JsonSlurperClassic;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The service, as its program starts it. */
final class RealBridge implements AutoCloseable {
    private final String program;
    private final Path directory;
    private final Process process;
    final String url;
    final String key;
    final String token;
    final String reader;

    RealBridge(String program, Path directory, Path catalog, String controller) throws Exception {
        this.program = program;
        this.directory = directory;
        key = output("keygen", directory.resolve("key.pem").toString()).get(1);
        List<String> shim = output("token", "main", "--scope", "plans:create", "--controller", "main");
        List<String> look = output("token", "look", "--scope", "builds:read", "--scope", "plans:read");
        token = shim.get(0);
        reader = look.get(0);
        Files.writeString(directory.resolve("tokens.yaml"), "tokens:\n" + shim.get(1) + "\n" + look.get(1) + "\n");
        Files.writeString(directory.resolve("controllers.yaml"), "controllers:\n  main: {url: '" + controller + "'}\n");
        process = new ProcessBuilder(program, "serve", "--catalog", catalog.toString(), "--listen", "127.0.0.1:0",
            "--tokens", directory.resolve("tokens.yaml").toString(), "--signing-key", directory.resolve("key.pem").toString(),
            "--controllers", directory.resolve("controllers.yaml").toString(),
            "--database", "sqlite:" + directory.resolve("bridge.db")).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        url = "http://" + address(process.errorReader());
    }

    private String address(BufferedReader log) throws IOException {
        Pattern listening = Pattern.compile("listening.*address=(127\\.0\\.0\\.1:\\d+)");
        List<String> before = new ArrayList<>();
        for (String line = log.readLine(); line != null; line = log.readLine()) {
            before.add(line);
            Matcher found = listening.matcher(line.replaceAll("\u001b\\[[0-9;]*m", ""));
            if (!found.find()) continue;
            Thread rest = new Thread(() -> drain(log));
            rest.setDaemon(true);
            rest.start();
            return found.group(1);
        }
        throw new IllegalStateException("the bridge does not start: " + String.join("\n", before));
    }

    private static void drain(BufferedReader log) {
        try {
            for (String line = log.readLine(); line != null; line = log.readLine()) System.err.println("bridge: " + line);
        } catch (IOException e) {
            // The program has ended.
        }
    }

    private List<String> output(String... arguments) throws IOException, InterruptedException {
        List<String> line = new ArrayList<>(List.of(program));
        line.addAll(List.of(arguments));
        Process run = new ProcessBuilder(line).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        List<String> lines = new String(run.getInputStream().readAllBytes()).lines().toList();
        if (run.waitFor() != 0) throw new IllegalStateException(line + " failed");
        return lines;
    }

    /** One request; the answer must be a good one. */
    Map<?, ?> ask(String path, String bearer, Map<String, ?> body) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + path)).header("Authorization", "Bearer " + bearer);
        if (body != null) {
            request.header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(JsonOutput.toJson(body)));
        }
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IllegalStateException(path + ": " + answer.statusCode() + " " + answer.body());
        return (Map<?, ?>) new JsonSlurperClassic().parseText(answer.body());
    }

    @Override
    public void close() throws Exception {
        process.destroy();
        process.waitFor();
    }
}
