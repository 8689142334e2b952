package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.FilePath;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPInputStream;
import jenkins.util.io.CompositeIOException;
import pilotfish.peer.Node;

/** The callables of FilePath (agent-callables 2.1). */
final class FileChecks {
    private static final String TEXT = "Grüße, 世界 𝄞\n";

    private final Node node;
    private final String base;

    FileChecks(Node node) {
        this.node = node;
        this.base = node.path("files");
    }

    private String at(String name) {
        return base + "/" + name;
    }

    void all(Checks checks) {
        checks.check("file: directories", () -> {
            same(true, node.on(base + "/a/b", new FilePath.Mkdirs()), "Mkdirs");
            same(true, node.on(base + "/a/b", new FilePath.Mkdirs()), "Mkdirs again");
            same(true, node.on(base, new FilePath.IsDirectory()), "IsDirectory");
            same(false, node.on(at("none"), new FilePath.Exists()), "Exists");
            node.on(at("a"), new FilePath.DeleteRecursive());
            same(false, node.on(at("a"), new FilePath.Exists()), "Exists after DeleteRecursive");
            node.on(at("a"), new FilePath.DeleteRecursive());
        });
        checks.check("file: why something cannot be deleted", () -> {
            node.on(at("plain"), new FilePath.Write(TEXT, "UTF-8"));
            CompositeIOException failed =
                    thrown(CompositeIOException.class, () -> node.on(at("plain/below"), new FilePath.DeleteRecursive()));
            Throwable[] why = failed.getSuppressed();
            require(why.length == 1 && why[0].toString().endsWith("Not a directory"), Arrays.toString(why));
            same(why[0].toString(), failed.getExceptions().get(0).toString(), "the field beside the suppressed ones");
        });
        checks.check("file: write and read text", () -> {
            node.on(at("new/text"), new FilePath.Write(TEXT, "UTF-8"));
            same(TEXT, node.on(at("new/text"), new FilePath.ReadToString()), "ReadToString");
            same((long) TEXT.getBytes(StandardCharsets.UTF_8).length, node.on(at("new/text"), new FilePath.Length()), "Length");
            node.on(at("latin"), new FilePath.Write("é", "ISO-8859-1"));
            same(1L, node.on(at("latin"), new FilePath.Length()), "Length in ISO-8859-1");
            same(0L, node.on(at("none"), new FilePath.Length()), "Length of nothing");
            same("d41d8cd98f00b204e9800998ecf8427e", digestOfEmpty(), "Digest");
        });
        checks.check("file: modes and times", () -> {
            node.on(at("mode"), new FilePath.Touch(1_000_000_000_000L));
            same(1_000_000_000_000L, node.on(at("mode"), new FilePath.LastModified()), "LastModified");
            node.on(at("mode"), new FilePath.SetLastModified(1_100_000_000_000L));
            same(1_100_000_000_000L, node.on(at("mode"), new FilePath.LastModified()), "LastModified after SetLastModified");
            node.on(at("mode"), new FilePath.Chmod(0640));
            same(0640, node.on(at("mode"), new FilePath.Mode()), "Mode");
            same(0L, node.on(at("none"), new FilePath.LastModified()), "LastModified of nothing");
        });
        checks.check("file: temporary files", () -> {
            String name = node.on(base, new FilePath.CreateTempFile("pre", ".suf"));
            require(name.startsWith("pre") && name.endsWith(".suf"), name);
            same(true, node.on(at(name), new FilePath.Exists()), "Exists");
            String here = node.on(base, new FilePath.CreateTextTempFile(true, "pre", ".txt", TEXT));
            require(here.startsWith(base + "/pre"), here);
            same(TEXT, node.on(here, new FilePath.ReadToString()), "content");
            String directory = node.on(base, new FilePath.CreateTempDir("dir"));
            same(true, node.on(at(directory), new FilePath.IsDirectory()), "IsDirectory");
        });
        checks.check("file: rename, move, copy, delete", this::moving);
        checks.check("file: links", this::links);
        checks.check("file: lists", this::lists);
        checks.check("file: names", () -> {
            same(at("x/../y"), node.on(at("x/../y"), new FilePath.Absolutize()), "Absolutize");
            same("file:" + base + "/", node.on(base, new FilePath.ToURI()).toString(), "ToURI");
            same(true, node.channel().call(new FilePath.IsUnix()), "IsUnix");
            require(node.channel().call(new FilePath.GetHomeDirectory()).isRemote(), "GetHomeDirectory is not bound to the channel");
        });
        checks.check("file: disk space", () -> {
            long total = node.on(base, new FilePath.GetTotalDiskSpace());
            long usable = node.on(base, new FilePath.GetUsableDiskSpace());
            long free = node.on(base, new FilePath.GetFreeDiskSpace());
            require(usable > 0 && usable <= free && free <= total, usable + ", " + free + ", " + total);
        });
        checks.check("file: Read through a pipe", () -> {
            Pipe pipe = Pipe.createRemoteToLocal();
            UserRequest<Void, IOException> read = node.start(at("new/text"), new FilePath.Read(pipe, null));
            same(TEXT, new String(pipe.getIn().readAllBytes(), StandardCharsets.UTF_8), "content");
            read.result(60);
        });
        checks.check("file: Read of nothing fails on the reader", () -> {
            Pipe pipe = Pipe.createRemoteToLocal();
            UserRequest<Void, IOException> read = node.start(at("none"), new FilePath.Read(pipe, null));
            IOException failure;
            try {
                // The official agent reports in the EOF alone or in the answer as well (live-findings 15).
                byte[] bytes = pipe.getIn().readAllBytes();
                same(0, bytes.length, "bytes of nothing");
                failure = thrown(IOException.class, () -> read.result(60));
            } catch (IOException e) {
                failure = e;
                try {
                    read.result(60);
                } catch (NoSuchFileException expected) {
                    failure = expected;
                }
            }
            require(failure.toString().contains("NoSuchFileException") && failure.toString().contains(at("none")), failure.toString());
        });
        checks.check("file: Read refuses links when told so", () -> {
            Pipe pipe = Pipe.createRemoteToLocal();
            UserRequest<Void, IOException> read = node.start(at("link"), new FilePath.Read(pipe, base, LinkOption.NOFOLLOW_LINKS));
            boolean refused = false;
            try {
                require(pipe.getIn().readAllBytes().length == 0, "the link was followed");
            } catch (IOException e) {
                refused = true;
            }
            try {
                read.result(60);
            } catch (IOException e) {
                refused = true;
            }
            require(refused, "neither the stream nor the answer failed");
        }, () -> node.on(at("link"), new FilePath.SymlinkTo(at("new/text"), null)));
        checks.check("file: OffsetPipeSecureFileCallable", () -> {
            Pipe pipe = Pipe.createRemoteToLocal();
            UserRequest<Void, IOException> read = node.start(at("new/text"), new FilePath.OffsetPipeSecureFileCallable(pipe, 2));
            byte[] all = TEXT.getBytes(StandardCharsets.UTF_8);
            byte[] tail = new GZIPInputStream(pipe.getIn()).readAllBytes();
            require(Arrays.equals(Arrays.copyOfRange(all, 2, all.length), tail), "other bytes came");
            read.result(60);
        });
        checks.check("file: CopyTo", () -> {
            ByteArrayOutputStream copy = new ByteArrayOutputStream();
            node.on(at("new/text"), new FilePath.CopyTo(new RemoteOutputStream(copy)));
            same(TEXT, copy.toString(StandardCharsets.UTF_8), "content");
        });
        checks.check("file: WritePipe", () -> {
            try (OutputStream out = node.on(at("deep/er/piped"), new FilePath.WritePipe())) {
                out.write(TEXT.getBytes(StandardCharsets.UTF_8));
            }
            same(TEXT, node.on(at("deep/er/piped"), new FilePath.ReadToString()), "content");
        });
    }

    private String digestOfEmpty() throws IOException, InterruptedException {
        node.on(at("empty"), new FilePath.Write("", null));
        return node.on(at("empty"), new FilePath.Digest());
    }

    private void moving() throws Exception {
        node.on(at("one"), new FilePath.Write("1", null));
        node.on(at("one"), new FilePath.Chmod(0700));
        node.on(at("one"), new FilePath.RenameTo(node.file(at("two"))));
        same(false, node.on(at("one"), new FilePath.Exists()), "one exists after RenameTo");
        node.on(at("two"), new FilePath.CopyToWithPermission(node.file(at("copies/three"))));
        same(0700, node.on(at("copies/three"), new FilePath.Mode()), "mode of the copy");
        node.on(at("moved"), new FilePath.Mkdirs());
        node.on(at("copies"), new FilePath.MoveAllChildrenTo(node.file(at("moved"))));
        same("1", node.on(at("moved/three"), new FilePath.ReadToString()), "content");
        node.on(at("two"), new FilePath.Delete());
        same(false, node.on(at("two"), new FilePath.Exists()), "two exists after Delete");
        node.on(at("moved@tmp/x"), new FilePath.Mkdirs());
        node.on(at("moved"), new FilePath.DeleteSuffixesRecursive());
        same(false, node.on(at("moved@tmp"), new FilePath.Exists()), "moved@tmp exists");
        node.on(at("moved"), new FilePath.DeleteContents());
        same(true, node.on(at("moved"), new FilePath.Exists()), "moved exists");
        same(false, node.on(at("moved/three"), new FilePath.Exists()), "moved/three exists");
    }

    private void links() throws Exception {
        node.on(at("target/inner"), new FilePath.Mkdirs());
        node.on(at("sym"), new FilePath.SymlinkTo("target", null));
        same("target", node.on(at("sym"), new FilePath.ReadLink()), "ReadLink");
        same(null, node.on(at("target"), new FilePath.ReadLink()), "ReadLink of a directory");
        same(true, node.on(at("sym/inner"), new FilePath.HasSymlink(base, new java.nio.file.OpenOption[] {java.nio.file.LinkOption.NOFOLLOW_LINKS})), "HasSymlink");
        same(false, node.on(at("target/inner"), new FilePath.HasSymlink(base, new java.nio.file.OpenOption[] {java.nio.file.LinkOption.NOFOLLOW_LINKS})), "HasSymlink without");
        node.on(at("sym"), new FilePath.DeleteRecursive());
        same(true, node.on(at("target/inner"), new FilePath.Exists()), "the link's target exists after deleting the link");
    }

    private void lists() throws Exception {
        for (String name : List.of("list/a.txt", "list/sub/b.txt", "list/sub/c.log", "list/.git/x.txt")) {
            node.on(at(name), new FilePath.Write(name, null));
        }
        List<FilePath> children = node.on(at("list"), new FilePath.ListFilter(null));
        same(3, children.size(), "children");
        require(children.stream().allMatch(FilePath::isRemote), "paths are not bound to the channel");
        same(2, node.on(at("list"), new FilePath.ListFilter(new FilePath.DirectoryFilter())).size(), "directories");
        same(0, node.on(at("none"), new FilePath.ListFilter(null)).size(), "children of nothing");
        FilePath[] found = node.on(at("list"), new FilePath.ListGlob("**/*.txt", null, true));
        List<String> names = Arrays.stream(found).map(FilePath::getRemote).sorted().toList();
        same(List.of(at("list/a.txt"), at("list/sub/b.txt")), names, "ListGlob");
    }
}
