package pilotfish.peer.faults;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.zip.CRC32;

/** What a build does, all of it known from its seed: the files that it prints, when, and its exit status. */
final class Script {
    private static final int[] STATUSES = {0, 0, 0, 1, 3, 7, 42, 127, 143, 255};
    private static final String[] WORDS = {
        "compiling", "linking", "grüße", "naïve café", "日本語のログ", "🐟 pilot", "тест", "ok", "warning: unused", "downloaded 12.3 MiB"
    };
    /** With {@code sh -xe} the first command is told. */
    private static final String FIRST = "+ set +x\n";

    final int number;
    /** Pushed by the agent rather than polled. */
    final boolean watched;
    /** Sleeps after its last line until it is killed. */
    final boolean aborted;
    /** The files come as an archive rather than one by one. */
    final boolean unpacked;
    /** Its files are archived and compared at the end. */
    final boolean archived;
    final int status;
    final int lines;
    /** The files with the parts of the log. */
    final List<byte[]> parts = new ArrayList<>();

    private final StringBuilder commands = new StringBuilder("set +x\n");
    private final Random random;

    Script(long seed, int number, String workspace) {
        this.number = number;
        random = new Random(seed * 1_000_003 + number);
        // The first numbers of neighbouring seeds are alike.
        for (int i = 0; i < 8; i++) random.nextInt();
        watched = random.nextInt(4) == 0;
        aborted = !watched && random.nextInt(10) == 0;
        unpacked = random.nextInt(3) == 0;
        archived = random.nextInt(3) == 0;
        status = STATUSES[random.nextInt(STATUSES.length)];
        int count = 3 + random.nextInt(9);
        int line = 0;
        for (int part = 0; part < count; part++) {
            StringBuilder text = new StringBuilder();
            int wanted = switch (random.nextInt(8)) {
                case 0 -> 1000 + random.nextInt(4000);
                case 1 -> 1;
                default -> 5 + random.nextInt(200);
            };
            boolean isLong = wanted == 1;
            for (int i = 0; i < wanted; i++) text.append(line(line++, isLong ? 20_000 + random.nextInt(180_000) : random.nextInt(90)));
            byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
            parts.add(bytes);
            print(workspace + "/" + name(part), bytes.length);
        }
        lines = line;
        commands.append("mkdir -p out\ncat parts/* > out/all.txt\n");
        commands.append(aborted ? "sleep 3600\n" : "exit " + status + "\n");
    }

    static String name(int part) {
        return String.format(Locale.ROOT, "parts/%03d.txt", part);
    }

    /** A line that no other is like, with the sum of what stands before it. */
    private String line(int at, int filler) {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%06d of build %d:", at, number));
        while (text.length() < filler) text.append(' ').append(WORDS[random.nextInt(WORDS.length)]);
        CRC32 sum = new CRC32();
        sum.update(text.toString().getBytes(StandardCharsets.UTF_8));
        return text.append(String.format(Locale.ROOT, " crc %08x%n", sum.getValue())).toString();
    }

    /** Often in two halves, which may cut a line or a character. */
    private void print(String file, int length) {
        if (length > 1 && random.nextBoolean()) {
            int cut = 1 + random.nextInt(length - 1);
            commands.append("head -c ").append(cut).append(" '").append(file).append("'\n");
            pause(300);
            commands.append("tail -c +").append(cut + 1).append(" '").append(file).append("'\n");
        } else {
            commands.append("cat '").append(file).append("'\n");
        }
        pause(1500);
    }

    private void pause(int atMostMillis) {
        commands.append(String.format(Locale.ROOT, "sleep %.2f%n", random.nextInt(atMostMillis) / 1000.0));
    }

    String text() {
        return commands.toString();
    }

    /** The files one after the other. */
    byte[] files() {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) all.writeBytes(part);
        return all.toByteArray();
    }

    /** The log of the build. */
    byte[] log() throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.write(FIRST.getBytes(StandardCharsets.UTF_8));
        all.write(files());
        return all.toByteArray();
    }
}
