package hudson;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** A comma separated list of Ant patterns: {@code **} any directories, {@code *} and {@code ?} within a name. */
final class AntPatterns {
    static final AntPatterns DEFAULT_EXCLUDES = new AntPatterns("**/*~,**/#*#,**/.#*,**/%*%,**/._*,**/CVS,**/CVS/**,**/.cvsignore,"
            + "**/SCCS,**/SCCS/**,**/vssver.scc,**/.svn,**/.svn/**,**/.DS_Store,**/.git,**/.git/**,**/.gitattributes,**/.gitignore,"
            + "**/.gitmodules,**/.hg,**/.hg/**,**/.hgignore,**/.hgsub,**/.hgsubstate,**/.hgtags,**/.bzr,**/.bzr/**,**/.bzrignore");

    private final List<Pattern> patterns = new ArrayList<>();

    AntPatterns(String list) {
        for (String part : list.split(",")) {
            String text = part.trim();
            if (!text.isEmpty()) patterns.add(Pattern.compile(regex(text.endsWith("/") ? text + "**" : text)));
        }
    }

    boolean matches(String name) {
        return patterns.stream().anyMatch(pattern -> pattern.matcher(name).matches());
    }

    private static String regex(String pattern) {
        StringBuilder regex = new StringBuilder();
        int i = 0;
        while (i < pattern.length()) {
            char c = pattern.charAt(i);
            if (pattern.startsWith("**/", i)) {
                regex.append("(?:[^/]+/)*");
                i += 3;
            } else if (pattern.startsWith("/**", i) && i + 3 == pattern.length()) {
                regex.append("(?:/.*)?");
                i += 3;
            } else if (pattern.startsWith("**", i)) {
                regex.append(".*");
                i += 2;
            } else {
                regex.append(c == '*' ? "[^/]*" : c == '?' ? "[^/]" : Pattern.quote(String.valueOf(c)));
                i++;
            }
        }
        return regex.toString();
    }
}
