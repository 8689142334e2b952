package pilotfish.peer.faults;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** Compares the log that arrived with the one that was printed. */
final class LogCheck {
    /** What an agent may have sent and not heard of again: a window. */
    private static final int LARGEST_REPEAT = 1 << 20;

    private LogCheck() {}

    /** Null if both are the same byte for byte, or where they part. */
    static String exact(byte[] expected, byte[] got) {
        int at = Arrays.mismatch(expected, got);
        if (at < 0) return null;
        return "the log parts at byte " + at + " (" + got.length + " bytes came, " + expected.length + " were printed); printed was "
                + around(expected, at) + ", came " + around(got, at);
    }

    /**
     * For pushed logs, where no offset goes with the output: every watch must go on where the one before it ended, or repeat
     * what the agent got no acknowledgement for. Answers how many bytes came twice; throws with words if any are missing.
     */
    static long withRepeats(byte[] expected, byte[] got, List<Long> begins) {
        int reached = 0;
        long repeated = 0;
        for (int i = 0; i < begins.size(); i++) {
            int begin = Math.toIntExact(begins.get(i));
            int end = i + 1 < begins.size() ? Math.toIntExact(begins.get(i + 1)) : got.length;
            if (begin == end) continue;
            int from = place(expected, got, begin, end, reached);
            if (from < 0) {
                throw new AssertionError("watch " + (i + 1) + " of " + begins.size() + " does not go on at byte " + reached + ": it sent "
                        + around(got, begin) + ", printed was " + around(expected, reached) + "; "
                        + exact(Arrays.copyOfRange(expected, Math.min(reached, expected.length), expected.length), Arrays.copyOfRange(got, begin, end)));
            }
            repeated += reached - from;
            reached = from + end - begin;
        }
        if (reached != expected.length) throw new AssertionError("only " + reached + " of " + expected.length + " bytes came");
        return repeated;
    }

    /** The last place at which the segment can begin without a gap. */
    private static int place(byte[] expected, byte[] got, int begin, int end, int reached) {
        for (int from = reached; from >= Math.max(0, reached - LARGEST_REPEAT); from--) {
            // A segment within what came before would not be progress, but the end may cut it short.
            if (from + end - begin > expected.length) continue;
            if (Arrays.equals(expected, from, from + end - begin, got, begin, end)) return from;
        }
        return -1;
    }

    private static String around(byte[] text, int at) {
        int from = Math.max(0, at - 40);
        int to = Math.min(text.length, at + 60);
        String before = new String(text, from, Math.max(0, Math.min(at, to) - from), StandardCharsets.UTF_8);
        String after = at >= to ? "" : new String(text, at, to - at, StandardCharsets.UTF_8);
        return ("«" + before + "|" + after + "»").replace("\n", "\\n");
    }
}
