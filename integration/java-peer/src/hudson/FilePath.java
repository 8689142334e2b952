package hudson;

import hudson.remoting.Callable;
import hudson.remoting.LoaderSpace;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.VirtualChannel;
import hudson.util.DirScanner;
import hudson.util.io.ArchiverFactory;
import hudson.util.io.Tar;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import jenkins.MasterToSlaveFileCallable;
import jenkins.security.MasterToSlaveCallable;
import org.jenkinsci.remoting.RoleChecker;
import org.jenkinsci.remoting.RoleSensitive;

/**
 * A path on one side and the callables on it. Names, serialVersionUIDs and fields are those of agent-callables 2.1 and
 * the recordings; the bodies are our own and run where an agent executes Java (the stand-in and a Java agent).
 */
public final class FilePath implements Serializable {
    private static final long serialVersionUID = 1;

    /** Null for the path of the side that holds the object. */
    private transient VirtualChannel channel;
    private final String remote;
    /** Seen in the recordings, always null. */
    private UrlFactory urlFactory;

    /** Kind of {@link #urlFactory}; never instantiated. */
    public static final class UrlFactory {}

    /** A path of this side, or of the other side of {@code channel}. */
    public FilePath(VirtualChannel channel, String remote) {
        this.channel = channel;
        this.remote = remote;
    }

    public String getRemote() {
        return remote;
    }

    public boolean isRemote() {
        return channel != null;
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        out.defaultWriteObject();
        out.writeBoolean(channel == null);
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        in.defaultReadObject();
        channel = in.readBoolean() ? hudson.remoting.Channel.current() : null;
    }

    @Override
    public String toString() {
        return remote;
    }

    /** What runs on a file. */
    public interface FileCallable<T> extends Serializable, RoleSensitive {
        T invoke(File file, VirtualChannel channel) throws IOException, InterruptedException;
    }

    /** How every file callable travels. */
    public static final class FileCallableWrapper<T> implements Callable<T, IOException>, LoaderSpace.DelegatingCallable {
        private static final long serialVersionUID = 1L;
        private final FileCallable<T> callable;
        private final FilePath filePath;

        public FileCallableWrapper(FileCallable<T> callable, FilePath filePath) {
            this.callable = callable;
            this.filePath = filePath;
        }

        @Override
        public Object inner() {
            return callable;
        }

        @Override
        public T call() throws IOException {
            try {
                return callable.invoke(new File(filePath.remote), hudson.remoting.Channel.current());
            } catch (InterruptedException e) {
                throw new TunneledInterruptedException(e);
            }
        }

        @Override
        public void checkRoles(RoleChecker checker) {}

        @Override
        public String toString() {
            return callable.getClass().getName();
        }
    }

    /** How monitors wrap a file callable. */
    public static final class CallableWith<T> implements Callable<T, IOException>, LoaderSpace.DelegatingCallable {
        private static final long serialVersionUID = 1L;
        private final FilePath this$0;
        private final FileCallable<T> task;

        public CallableWith(FilePath path, FileCallable<T> task) {
            this$0 = path;
            this.task = task;
        }

        @Override
        public Object inner() {
            return task;
        }

        @Override
        public T call() throws IOException {
            return new FileCallableWrapper<>(task, this$0).call();
        }

        @Override
        public void checkRoles(RoleChecker checker) {}

        @Override
        public String toString() {
            return task.getClass().getName();
        }
    }

    /** An interruption on its way through an interface that only throws IOException. */
    public static final class TunneledInterruptedException extends IOException {
        private static final long serialVersionUID = 1L;

        public TunneledInterruptedException(InterruptedException cause) {
            super(cause);
        }
    }

    /** Answers Boolean: mkdir -p (agent-callables 2.1). */
    public static final class Mkdirs extends MasterToSlaveFileCallable<Boolean> {
        private static final long serialVersionUID = 1L;

        @Override
        public Boolean invoke(File file, VirtualChannel channel) throws IOException {
            Files.createDirectories(file.toPath());
            return true;
        }
    }

    /** Answers Boolean (agent-callables 2.1). */
    public static final class Exists extends MasterToSlaveFileCallable<Boolean> {
        private static final long serialVersionUID = 1L;

        @Override
        public Boolean invoke(File file, VirtualChannel channel) throws IOException {
            return file.exists();
        }
    }

    /** Answers Boolean (agent-callables 2.1). */
    public static final class IsDirectory extends MasterToSlaveFileCallable<Boolean> {
        private static final long serialVersionUID = 1L;

        @Override
        public Boolean invoke(File file, VirtualChannel channel) throws IOException {
            return file.isDirectory();
        }
    }

    /** Answers Long (agent-callables 2.1). */
    public static final class Length extends MasterToSlaveFileCallable<Long> {
        private static final long serialVersionUID = 1L;

        @Override
        public Long invoke(File file, VirtualChannel channel) throws IOException {
            return file.length();
        }
    }

    /** Answers Long (agent-callables 2.1). */
    public static final class LastModified extends MasterToSlaveFileCallable<Long> {
        private static final long serialVersionUID = 1L;

        @Override
        public Long invoke(File file, VirtualChannel channel) throws IOException {
            return file.lastModified();
        }
    }

    /** Answers Integer: permission bits (agent-callables 2.1). */
    public static final class Mode extends MasterToSlaveFileCallable<Integer> {
        private static final long serialVersionUID = 1L;

        @Override
        public Integer invoke(File file, VirtualChannel channel) throws IOException {
            return FileOps.mode(file.toPath());
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class Chmod extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final int mask;

        public Chmod(int mask) {
            this.mask = mask;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.chmod(file.toPath(), mask);
            return null;
        }
    }

    /** Answers null: creates the file and sets its time (agent-callables 2.1). */
    public static final class Touch extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = -5094638816500738429L;
        private final long timestamp;

        public Touch(long timestamp) {
            this.timestamp = timestamp;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            if (!file.exists()) Files.createFile(file.toPath());
            FileOps.setModified(file, timestamp);
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class SetLastModified extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = -828220335793641630L;
        private final long timestamp;

        public SetLastModified(long timestamp) {
            this.timestamp = timestamp;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.setModified(file, timestamp);
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class Delete extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            Files.deleteIfExists(file.toPath());
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class DeleteRecursive extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.deleteRecursive(file.toPath());
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class DeleteContents extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.deleteContents(file.toPath());
            return null;
        }
    }

    /** Answers null: deletes every sibling NAME@… (agent-callables 2.1). */
    public static final class DeleteSuffixesRecursive extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.deleteSuffixes(file);
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class RenameTo extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final FilePath target;

        public RenameTo(FilePath target) {
            this.target = target;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            Files.move(file.toPath(), Path.of(target.getRemote()));
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class MoveAllChildrenTo extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final FilePath target;

        public MoveAllChildrenTo(FilePath target) {
            this.target = target;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.moveChildren(file, new File(target.getRemote()));
            return null;
        }
    }

    /** Answers null: streams the file, then EOF (agent-callables 2.1). */
    public static final class CopyTo extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 4088559042349254141L;
        private final OutputStream out;

        public CopyTo(OutputStream out) {
            this.out = out;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            try (OutputStream sink = out) {
                Files.copy(file.toPath(), sink);
            }
            return null;
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class CopyToWithPermission extends MasterToSlaveFileCallable<Void> {
        private final FilePath target;

        public CopyToWithPermission(FilePath target) {
            this.target = target;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.copyWithMode(file.toPath(), Path.of(target.getRemote()));
            return null;
        }
    }

    /** Answers String (agent-callables 2.1). */
    public static final class ReadToString extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return Files.readString(file.toPath());
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class Write extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final String content;
        private final String encoding;

        public Write(String content, String encoding) {
            this.content = content;
            this.encoding = encoding;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            FileOps.write(file, content, encoding);
            return null;
        }
    }

    /** Answers String: MD5 of the file in hex (agent-callables 2.1). */
    public static final class Digest extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return FileOps.md5(file.toPath());
        }
    }

    /** Answers String: answers the name (agent-callables 2.1). */
    public static final class CreateTempFile extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;
        private final String prefix;
        private final String suffix;

        public CreateTempFile(String prefix, String suffix) {
            this.prefix = prefix;
            this.suffix = suffix;
        }

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return File.createTempFile(prefix, suffix, file).getName();
        }
    }

    /** Answers String: answers the absolute path (agent-callables 2.1). */
    public static final class CreateTextTempFile extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;
        private final boolean inThisDirectory;
        private final String prefix;
        private final String suffix;
        private final String contents;

        public CreateTextTempFile(boolean inThisDirectory, String prefix, String suffix, String contents) {
            this.inThisDirectory = inThisDirectory;
            this.prefix = prefix;
            this.suffix = suffix;
            this.contents = contents;
        }

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            File made = File.createTempFile(prefix, suffix, inThisDirectory ? file : null);
            Files.writeString(made.toPath(), contents);
            return made.getAbsolutePath();
        }
    }

    /** Answers String: answers the name (agent-callables 2.1). */
    public static final class CreateTempDir extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;
        private final String name;

        public CreateTempDir(String name) {
            this.name = name;
        }

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return Files.createTempDirectory(file.toPath(), name).getFileName().toString();
        }
    }

    /** Answers String (agent-callables 2.1). */
    public static final class Absolutize extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return file.getAbsolutePath();
        }
    }

    /** Answers null (agent-callables 2.1). */
    public static final class SymlinkTo extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final String target;
        private final hudson.model.TaskListener listener;

        public SymlinkTo(String target, hudson.model.TaskListener listener) {
            this.target = target;
            this.listener = listener;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            Files.createSymbolicLink(file.toPath(), Path.of(target));
            return null;
        }
    }

    /** Answers String: answers null for anything but a link (agent-callables 2.1). */
    public static final class ReadLink extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return Files.isSymbolicLink(file.toPath()) ? Files.readSymbolicLink(file.toPath()).toString() : null;
        }
    }

    /** Answers Boolean (agent-callables 2.1). */
    public static final class HasSymlink extends MasterToSlaveFileCallable<Boolean> {
        private static final long serialVersionUID = 1L;
        private final String verificationRoot;
        private final OpenOption[] openOptions;

        public HasSymlink(String verificationRoot, OpenOption[] openOptions) {
            this.verificationRoot = verificationRoot;
            this.openOptions = openOptions;
        }

        @Override
        public Boolean invoke(File file, VirtualChannel channel) throws IOException {
            return FileOps.hasSymlink(file.toPath(), verificationRoot);
        }
    }

    /** Answers Boolean (agent-callables 2.1). */
    public static final class IsDescendant extends MasterToSlaveFileCallable<Boolean> {
        private static final long serialVersionUID = 1L;
        private final String potentialChildRelativePath;

        public IsDescendant(String potentialChildRelativePath) {
            this.potentialChildRelativePath = potentialChildRelativePath;
        }

        @Override
        public Boolean invoke(File file, VirtualChannel channel) throws IOException {
            return FileOps.isDescendant(file.toPath(), potentialChildRelativePath);
        }
    }

    /** Answers URI (agent-callables 2.1). */
    public static final class ToURI extends MasterToSlaveFileCallable<URI> {
        private static final long serialVersionUID = 1L;

        @Override
        public URI invoke(File file, VirtualChannel channel) throws IOException {
            return file.toURI();
        }
    }

    /** Answers Long (agent-callables 2.1). */
    public static final class GetFreeDiskSpace extends MasterToSlaveFileCallable<Long> {
        private static final long serialVersionUID = 1L;

        @Override
        public Long invoke(File file, VirtualChannel channel) throws IOException {
            return file.getFreeSpace();
        }
    }

    /** Answers Long (agent-callables 2.1). */
    public static final class GetTotalDiskSpace extends MasterToSlaveFileCallable<Long> {
        private static final long serialVersionUID = 1L;

        @Override
        public Long invoke(File file, VirtualChannel channel) throws IOException {
            return file.getTotalSpace();
        }
    }

    /** Answers Long (agent-callables 2.1). */
    public static final class GetUsableDiskSpace extends MasterToSlaveFileCallable<Long> {
        private static final long serialVersionUID = 1L;

        @Override
        public Long invoke(File file, VirtualChannel channel) throws IOException {
            return file.getUsableSpace();
        }
    }

    /** Answers String: null: nothing to say (agent-callables 2.1). */
    public static final class ValidateAntFileMask extends MasterToSlaveFileCallable<String> {
        private static final long serialVersionUID = 1L;
        private final String fileMasks;
        private final int bound;
        private final boolean caseSensitive;

        public ValidateAntFileMask(String fileMasks, int bound, boolean caseSensitive) {
            this.fileMasks = fileMasks;
            this.bound = bound;
            this.caseSensitive = caseSensitive;
        }

        @Override
        public String invoke(File file, VirtualChannel channel) throws IOException {
            return null;
        }
    }

    /** Streams a file into the pipe, then EOF; a failure is the EOF's error (live-findings 15). */
    public static final class Read extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final Pipe p;
        private final String verificationRoot;
        private final OpenOption[] openOptions;

        public Read(Pipe p, String verificationRoot, OpenOption... openOptions) {
            this.p = p;
            this.verificationRoot = verificationRoot;
            this.openOptions = openOptions;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            // The pipe ends in any case, or its reader would wait for ever.
            try (OutputStream out = p.getOut()) {
                if (Arrays.asList(openOptions).contains(LinkOption.NOFOLLOW_LINKS) && FileOps.hasSymlink(file.toPath(), verificationRoot)) {
                    throw new IOException("links are not followed: " + file);
                }
                Files.copy(file.toPath(), out);
            }
            return null;
        }
    }

    /** Streams the tail of a file into the pipe, compressed with gzip. */
    public static final class OffsetPipeSecureFileCallable extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final Pipe p;
        private final long offset;

        public OffsetPipeSecureFileCallable(Pipe p, long offset) {
            this.p = p;
            this.offset = offset;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            try (InputStream in = Files.newInputStream(file.toPath()); OutputStream out = new GZIPOutputStream(p.getOut())) {
                in.skipNBytes(offset);
                in.transferTo(out);
            }
            return null;
        }
    }

    /** Answers a stream that writes the file. */
    public static final class WritePipe extends MasterToSlaveFileCallable<OutputStream> {
        private static final long serialVersionUID = 1L;

        @Override
        public OutputStream invoke(File file, VirtualChannel channel) throws IOException {
            Files.createDirectories(file.toPath().toAbsolutePath().getParent());
            return new RemoteOutputStream(Files.newOutputStream(file.toPath()));
        }
    }

    /** Lists a directory; answers paths that the reader binds to the channel. */
    public static final class ListFilter extends MasterToSlaveFileCallable<List<FilePath>> {
        private static final long serialVersionUID = 1L;
        private final java.io.FileFilter filter;

        public ListFilter(java.io.FileFilter filter) {
            this.filter = filter;
        }

        @Override
        public List<FilePath> invoke(File file, VirtualChannel channel) {
            File[] children = file.listFiles(filter);
            if (children == null) return Collections.emptyList();
            List<FilePath> all = new ArrayList<>();
            for (File child : children) all.add(new FilePath(null, child.getAbsolutePath()));
            return all;
        }
    }

    /** Accepts directories. */
    public static final class DirectoryFilter implements java.io.FileFilter, Serializable {
        private static final long serialVersionUID = 1L;

        @Override
        public boolean accept(File file) {
            return file.isDirectory();
        }
    }

    /** Files that match a pattern. */
    public static final class ListGlob extends MasterToSlaveFileCallable<FilePath[]> {
        private static final long serialVersionUID = 1L;
        private final String includes;
        private final String excludes;
        private final boolean defaultExcludes;

        public ListGlob(String includes, String excludes, boolean defaultExcludes) {
            this.includes = includes;
            this.excludes = excludes;
            this.defaultExcludes = defaultExcludes;
        }

        @Override
        public FilePath[] invoke(File file, VirtualChannel channel) throws IOException {
            return FileOps.glob(file.toPath(), includes, excludes, defaultExcludes).stream()
                    .map(path -> new FilePath(null, file.toPath().resolve(path).toString())).toArray(FilePath[]::new);
        }
    }

    /** How a tar stream is compressed. */
    public enum TarCompression {
        NONE,
        GZIP
    }

    static OutputStream compress(TarCompression compression, OutputStream out) throws IOException {
        return compression == TarCompression.GZIP ? new GZIPOutputStream(out) : out;
    }

    static InputStream extract(TarCompression compression, InputStream in) throws IOException {
        return compression == TarCompression.GZIP ? new GZIPInputStream(in, 8192) : in;
    }

    /** Stash: writes an archive into the stream, answers the number of entries. */
    public record Archive(ArchiverFactory factory, OutputStream out, DirScanner scanner, String verificationRoot, OpenOption... openOptions)
            implements FileCallable<Integer> {
        @Override
        public Integer invoke(File file, VirtualChannel channel) throws IOException {
            try (OutputStream sink = out) {
                return factory.write(file.toPath(), scanner, sink);
            }
        }

        @Override
        public void checkRoles(RoleChecker checker) {}
    }

    /** Unstash: extracts a tar stream into the directory. */
    public static final class UntarRemote extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final TarCompression compression;
        private final RemoteInputStream in;
        private final String name;

        public UntarRemote(String name, TarCompression compression, RemoteInputStream in) {
            this.name = name;
            this.compression = compression;
            this.in = in;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            try (InputStream stream = extract(compression, in)) {
                Tar.extract(stream, file.toPath());
            }
            return null;
        }
    }

    /** Extracts a zip stream into the directory. */
    public static final class UnzipRemote extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final RemoteInputStream in;

        public UnzipRemote(RemoteInputStream in) {
            this.in = in;
        }

        @Override
        public Void invoke(File file, VirtualChannel channel) throws IOException {
            try (ZipInputStream zip = new ZipInputStream(in)) {
                for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                    Path target = Tar.inside(file.toPath(), entry.getName());
                    if (entry.isDirectory()) {
                        Files.createDirectories(target);
                        continue;
                    }
                    Files.createDirectories(target.getParent());
                    Files.copy(zip, target, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
                }
            }
            return null;
        }
    }

    /** Artifact archiving: a tar of the scanned files into the pipe, answers the number of entries. */
    public static final class CopyRecursiveRemoteToLocal extends MasterToSlaveFileCallable<Integer> {
        private static final long serialVersionUID = 1L;
        private final Pipe pipe;
        private final DirScanner scanner;
        private final TarCompression compression;
        private final String filenamesEncoding;

        public CopyRecursiveRemoteToLocal(Pipe pipe, DirScanner scanner, TarCompression compression, String filenamesEncoding) {
            this.pipe = pipe;
            this.scanner = scanner;
            this.compression = compression;
            this.filenamesEncoding = filenamesEncoding;
        }

        @Override
        public Integer invoke(File file, VirtualChannel channel) throws IOException {
            try (OutputStream out = compress(compression, pipe.getOut())) {
                return Tar.write(file.toPath(), scanner, out);
            }
        }
    }

    /** Copies the scanned files to another directory of the agent. */
    public static final class CopyRecursiveLocal extends MasterToSlaveFileCallable<Integer> {
        private static final long serialVersionUID = 1L;
        private final FilePath target;
        private final DirScanner scanner;

        public CopyRecursiveLocal(FilePath target, DirScanner scanner) {
            this.target = target;
            this.scanner = scanner;
        }

        @Override
        public Integer invoke(File file, VirtualChannel channel) throws IOException {
            Map<String, Path> files = scanner.scan(file.toPath());
            for (Map.Entry<String, Path> entry : files.entrySet()) {
                FileOps.copyWithMode(entry.getValue(), Path.of(target.remote).resolve(entry.getKey()));
            }
            return files.size();
        }
    }

    /** A fixed list: name in the archive to path in the workspace. */
    public static final class ExplicitlySpecifiedDirScanner extends DirScanner {
        private static final long serialVersionUID = 1;
        private final Map<String, String> files;

        public ExplicitlySpecifiedDirScanner(Map<String, String> files) {
            this.files = files;
        }

        @Override
        public Map<String, Path> scan(Path base) {
            Map<String, Path> found = new java.util.TreeMap<>();
            files.forEach((name, path) -> found.put(name, base.resolve(path)));
            return found;
        }
    }

    /** Answers whether the agent runs on a Unix. */
    public static final class IsUnix extends MasterToSlaveCallable<Boolean, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public Boolean call() {
            return File.pathSeparatorChar == ':';
        }
    }

    /** Answers the home directory of the agent's user. */
    public static final class GetHomeDirectory extends MasterToSlaveCallable<FilePath, IOException> {
        @Override
        public FilePath call() {
            return new FilePath(null, System.getProperty("user.home"));
        }
    }
}
