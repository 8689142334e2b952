package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.FilePath;
import hudson.FilePath.TarCompression;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import hudson.tasks.ArtifactArchiver;
import hudson.tasks.Fingerprinter;
import hudson.util.DirScanner;
import hudson.util.io.ArchiverFactory;
import hudson.util.io.Tar;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import pilotfish.peer.Node;

/** Archives both ways, artifacts and fingerprints (agent-callables 2.1 and 4). */
final class ArchiveChecks {
    private static final String LONG = "a-long-name-".repeat(12) + ".txt";

    private final Node node;
    private final String base;

    ArchiveChecks(Node node) {
        this.node = node;
        this.base = node.path("archive");
    }

    void all(Checks checks) {
        checks.check("archive: files to work with", () -> {
            for (String name : List.of("a.txt", "sub/b.txt", "sub/ünï.txt", "sub/" + LONG, "skip.log")) {
                node.on(base + "/" + name, new FilePath.Write("content of " + name, "UTF-8"));
            }
            node.on(base + "/a.txt", new FilePath.Chmod(0750));
            node.on(base + "/sub/b.txt", new FilePath.SetLastModified(1_200_000_000_000L));
            node.on(base + "/link.txt", new FilePath.SymlinkTo("a.txt", null));
            node.run("/bin/sh", "-c", "head -c 3000000 /dev/urandom > " + base + "/big.txt");
        });
        for (TarCompression compression : TarCompression.values()) {
            checks.check("archive: tar, " + compression, () -> tar(compression));
            checks.check("archive: untar, " + compression, () -> untar(compression));
        }
        checks.check("archive: zip", this::zip);
        checks.check("archive: unzip", this::unzip);
        checks.check("archive: nothing", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            int entries = node.on(base, new FilePath.Archive(new ArchiverFactory.TarArchiverFactory(TarCompression.GZIP),
                    new RemoteOutputStream(out), new DirScanner.Glob("none/**", null, true), null));
            same(0, entries, "entries");
            same(0, Tar.read(new GZIPInputStream(new ByteArrayInputStream(out.toByteArray())), (entry, content) -> {}), "entries read");
        });
        checks.check("archive: an entry cannot leave the directory", this::escape);
        checks.check("artifacts: list, copy, fingerprint", this::artifacts);
        checks.check("copy within the agent", () -> {
            int copied = node.on(base, new FilePath.CopyRecursiveLocal(node.file(node.path("copied")), new DirScanner.Glob("sub/**", null, true)));
            same(3, copied, "files");
            same("content of sub/b.txt", node.on(node.path("copied/sub/b.txt"), new FilePath.ReadToString()), "content");
        });
    }

    private void tar(TarCompression compression) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int entries = node.on(base, new FilePath.Archive(new ArchiverFactory.TarArchiverFactory(compression),
                new RemoteOutputStream(out), new DirScanner.Glob("**", "**/*.log", true), null));
        InputStream bytes = new ByteArrayInputStream(out.toByteArray());
        Map<String, Tar.Entry> found = new TreeMap<>();
        Map<String, String> contents = new HashMap<>();
        int read = Tar.read(compression == TarCompression.GZIP ? new GZIPInputStream(bytes) : bytes, (entry, content) -> {
            if (entry.type() == '5') return;
            found.put(entry.name(), entry);
            contents.put(entry.name(), entry.size() < 1000 ? new String(content.readAllBytes(), StandardCharsets.UTF_8) : "");
        });
        same(read, entries, "entries");
        same(Set.of("a.txt", "big.txt", "link.txt", "sub/b.txt", "sub/ünï.txt", "sub/" + LONG), new TreeSet<>(found.keySet()), "names");
        same(0750, found.get("a.txt").mode() & 0777, "mode");
        same(1_200_000_000L, found.get("sub/b.txt").modifiedSeconds(), "time");
        same(3_000_000L, found.get("big.txt").size(), "size");
        same("content of sub/ünï.txt", contents.get("sub/ünï.txt"), "content");
        same('2', found.get("link.txt").type(), "type of the link");
        same("a.txt", found.get("link.txt").link(), "target of the link");
    }

    private void untar(TarCompression compression) throws Exception {
        Path local = Files.createTempDirectory("pilotfish-untar");
        try {
            Files.createDirectories(local.resolve("in"));
            Files.writeString(local.resolve("in/" + LONG), "long");
            Files.writeString(local.resolve("run.sh"), "#!/bin/sh\n");
            hudson.FileOps.chmod(local.resolve("run.sh"), 0755);
            hudson.FileOps.setTime(local.resolve("run.sh"), 1_300_000_000_000L);
            Files.createSymbolicLink(local.resolve("link"), Path.of("run.sh"));
            Files.write(local.resolve("big"), new byte[2_500_000]);
            ByteArrayOutputStream archive = new ByteArrayOutputStream();
            new ArchiverFactory.TarArchiverFactory(compression).write(local, new DirScanner.Full(), archive);
            String target = node.path("untar-" + compression);
            node.on(target, new FilePath.Mkdirs());
            node.on(target, new FilePath.UntarRemote("check", compression,
                    new RemoteInputStream(new ByteArrayInputStream(archive.toByteArray()), RemoteInputStream.Flag.GREEDY)));
            same("long", node.on(target + "/in/" + LONG, new FilePath.ReadToString()), "content");
            same(0755, node.on(target + "/run.sh", new FilePath.Mode()), "mode");
            same(1_300_000_000_000L, node.on(target + "/run.sh", new FilePath.LastModified()), "time");
            same("run.sh", node.on(target + "/link", new FilePath.ReadLink()), "link");
            same(2_500_000L, node.on(target + "/big", new FilePath.Length()), "length");
        } finally {
            hudson.FileOps.deleteRecursive(local);
        }
    }

    private void zip() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        node.on(base, new FilePath.Archive(new ArchiverFactory.ZipArchiverFactory(null), new RemoteOutputStream(out),
                new DirScanner.Glob("sub/**,a.txt", null, true), null));
        Map<String, String> contents = new TreeMap<>();
        try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(out.toByteArray()))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                if (!entry.isDirectory()) contents.put(entry.getName(), new String(zip.readAllBytes(), StandardCharsets.UTF_8));
            }
        }
        same(Set.of("a.txt", "sub/b.txt", "sub/ünï.txt", "sub/" + LONG), new TreeSet<>(contents.keySet()), "names");
        same("content of sub/b.txt", contents.get("sub/b.txt"), "content");
    }

    private void unzip() throws Exception {
        Path local = Files.createTempDirectory("pilotfish-unzip");
        try {
            Files.createDirectories(local.resolve("in"));
            Files.writeString(local.resolve("in/file.txt"), "zipped");
            ByteArrayOutputStream archive = new ByteArrayOutputStream();
            new ArchiverFactory.ZipArchiverFactory(null).write(local, new DirScanner.Full(), archive);
            String target = node.path("unzipped");
            node.on(target, new FilePath.Mkdirs());
            node.on(target, new FilePath.UnzipRemote(
                    new RemoteInputStream(new ByteArrayInputStream(archive.toByteArray()), RemoteInputStream.Flag.GREEDY)));
            same("zipped", node.on(target + "/in/file.txt", new FilePath.ReadToString()), "content");
        } finally {
            hudson.FileOps.deleteRecursive(local);
        }
    }

    private void escape() throws Exception {
        Path local = Files.createTempDirectory("pilotfish-escape");
        try {
            Path file = Files.writeString(local.resolve("file"), "out");
            ByteArrayOutputStream archive = new ByteArrayOutputStream();
            Tar.write(local, new DirScanner() {
                private static final long serialVersionUID = 1L;

                @Override
                public Map<String, Path> scan(Path ignored) {
                    return Map.of("../escaped.txt", file);
                }
            }, archive);
            String target = node.path("prison");
            node.on(target, new FilePath.Mkdirs());
            thrown(IOException.class, () -> node.on(target, new FilePath.UntarRemote("bad", TarCompression.NONE,
                    new RemoteInputStream(new ByteArrayInputStream(archive.toByteArray()), RemoteInputStream.Flag.GREEDY))));
            same(false, node.on(node.path("escaped.txt"), new FilePath.Exists()), "a file outside exists");
        } finally {
            hudson.FileOps.deleteRecursive(local);
        }
    }

    private void artifacts() throws Exception {
        Set<String> names = node.on(base, new ArtifactArchiver.ListFiles("**/*.txt", "big.txt, link.txt"));
        same(Set.of("a.txt", "sub/b.txt", "sub/ünï.txt", "sub/" + LONG), new TreeSet<>(names), "names");
        HashMap<String, String> files = new HashMap<>();
        names.forEach(name -> files.put("archived/" + name, name));
        Pipe pipe = Pipe.createRemoteToLocal();
        UserRequest<Integer, IOException> copy = node.start(base, new FilePath.CopyRecursiveRemoteToLocal(pipe,
                new FilePath.ExplicitlySpecifiedDirScanner(files), TarCompression.GZIP, "UTF-8"));
        Set<String> received = new TreeSet<>();
        Tar.read(new GZIPInputStream(pipe.getIn()), (entry, content) -> {
            if (entry.type() != '5') received.add(entry.name());
        });
        same(names.size(), copy.result(60), "entries");
        same(new TreeSet<>(files.keySet()), received, "names in the archive");
        List<Fingerprinter.Record> records = node.on(base, new Fingerprinter.FindRecords("sub/b.txt", "", 0));
        same(1, records.size(), "records");
        same(node.on(base + "/sub/b.txt", new FilePath.Digest()), records.get(0).md5sum, "MD5");
        require(records.get(0).relativePath.equals("sub/b.txt") && records.get(0).fileName.equals("b.txt"), "names of the record");
    }
}
