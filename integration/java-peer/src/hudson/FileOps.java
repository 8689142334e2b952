package hudson;

import java.io.File;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermission;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Set;
import java.util.TreeSet;

/** File work shared by the callables' bodies and by the checks' own bookkeeping. */
public final class FileOps {
    private FileOps() {}

    /** Permission bits as in 0755. */
    public static int mode(Path path) throws IOException {
        int mode = 0;
        for (PosixFilePermission permission : Files.getPosixFilePermissions(path)) mode |= 0400 >> permission.ordinal();
        return mode;
    }

    public static void chmod(Path path, int mode) throws IOException {
        Set<PosixFilePermission> permissions = EnumSet.noneOf(PosixFilePermission.class);
        for (PosixFilePermission permission : PosixFilePermission.values()) {
            if ((mode & (0400 >> permission.ordinal())) != 0) permissions.add(permission);
        }
        Files.setPosixFilePermissions(path, permissions);
    }

    static void setModified(File file, long timestamp) throws IOException {
        if (!file.setLastModified(timestamp)) throw new IOException("Failed to set the timestamp of " + file + " to " + timestamp);
    }

    /** Deletes the tree without following links; absent is fine. */
    public static void deleteRecursive(Path root) throws IOException {
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) return;
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException failure) throws IOException {
                if (failure != null) throw failure;
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    static void deleteContents(Path directory) throws IOException {
        File[] children = directory.toFile().listFiles();
        if (children == null) return;
        for (File child : children) deleteRecursive(child.toPath());
    }

    static void deleteSuffixes(File file) throws IOException {
        File[] siblings = file.getAbsoluteFile().getParentFile().listFiles((dir, name) -> name.startsWith(file.getName() + "@"));
        if (siblings == null) return;
        for (File sibling : siblings) deleteRecursive(sibling.toPath());
    }

    static void moveChildren(File from, File to) throws IOException {
        File[] children = from.listFiles();
        if (children == null) return;
        for (File child : children) Files.move(child.toPath(), to.toPath().resolve(child.getName()));
        Files.delete(from.toPath());
    }

    static void copyWithMode(Path from, Path to) throws IOException {
        Files.createDirectories(to.toAbsolutePath().getParent());
        Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.COPY_ATTRIBUTES);
    }

    static void write(File file, String content, String encoding) throws IOException {
        Files.createDirectories(file.toPath().toAbsolutePath().getParent());
        Charset charset = encoding == null ? Charset.defaultCharset() : Charset.forName(encoding);
        Files.write(file.toPath(), content.getBytes(charset));
    }

    public static String md5(Path path) throws IOException {
        try (var in = Files.newInputStream(path)) {
            MessageDigest digest = MessageDigest.getInstance("MD5");
            byte[] buffer = new byte[8192];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) digest.update(buffer, 0, n);
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Whether the path, below {@code root} if given, passes through a symbolic link. */
    static boolean hasSymlink(Path path, String root) {
        Path stop = root == null ? path.toAbsolutePath().getParent() : Path.of(root).toAbsolutePath();
        for (Path at = path.toAbsolutePath(); at != null && !at.equals(stop); at = at.getParent()) {
            if (Files.isSymbolicLink(at)) return true;
        }
        return false;
    }

    static boolean isDescendant(Path base, String child) throws IOException {
        Path root = base.toRealPath();
        Path target = root.resolve(child).normalize();
        return Files.exists(target) && target.toRealPath().startsWith(root);
    }

    public static void setTime(Path path, long millis) throws IOException {
        Files.setLastModifiedTime(path, FileTime.fromMillis(millis));
    }

    /** Relative names, with {@code /}, of the files that match; patterns as Ant has them. */
    public static Set<String> glob(Path base, String includes, String excludes, boolean defaultExcludes) throws IOException {
        AntPatterns wanted = new AntPatterns(includes);
        AntPatterns unwanted = new AntPatterns(excludes == null ? "" : excludes);
        Set<String> found = new TreeSet<>();
        if (!Files.isDirectory(base)) return found;
        try (var walk = Files.walk(base)) {
            walk.filter(path -> !Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)).forEach(path -> {
                String name = base.relativize(path).toString();
                boolean hidden = defaultExcludes && AntPatterns.DEFAULT_EXCLUDES.matches(name);
                if (wanted.matches(name) && !unwanted.matches(name) && !hidden) found.add(name);
            });
        }
        return found;
    }
}
