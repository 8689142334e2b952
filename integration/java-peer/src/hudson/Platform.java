package hudson;

/** The agent's kind of system. */
public enum Platform {
    WINDOWS,
    UNIX
}
