package org.jenkinsci.plugins.workflow.log;

import java.io.Serializable;

/** Home of the buffering parameters. */
public final class DelayBufferedOutputStream {
    private DelayBufferedOutputStream() {}

    /** How long output may wait, milliseconds. */
    public static final class Tuning implements Serializable {
        private static final long serialVersionUID = -722764062640914069L;
        private final int bufferSize = 1 << 16;
        private final long minRecurrencePeriod = 1000;
        private final long maxRecurrencePeriod = 10_000;
        private final float recurrencePeriodBackoff = 1.05f;
    }
}
