package hudson.model;

import hudson.util.StreamTaskListener;
import java.io.OutputStream;
import java.nio.charset.Charset;

/** The listener of a freestyle build. */
public final class StreamBuildListener extends StreamTaskListener {
    private static final long serialVersionUID = 1L;

    public StreamBuildListener(OutputStream stream, Charset charset) {
        super(stream, charset);
    }
}
