package hudson.util;

import hudson.remoting.RemoteOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.Charset;

/** A listener over a stream; on the wire its two fields are only declared, two objects follow instead. */
public class StreamTaskListener extends AbstractTaskListener {
    private static final long serialVersionUID = 1L;

    private PrintStream out;
    private Charset charset;
    private transient OutputStream stream;

    public StreamTaskListener(OutputStream stream, Charset charset) {
        this.stream = stream;
        this.charset = charset;
    }

    @Override
    public OutputStream log() {
        return stream;
    }

    private void writeObject(ObjectOutputStream target) throws IOException {
        target.writeObject(new RemoteOutputStream(stream));
        target.writeObject(charset == null ? null : charset.name());
    }

    private void readObject(ObjectInputStream source) throws IOException, ClassNotFoundException {
        stream = (RemoteOutputStream) source.readObject();
        String name = (String) source.readObject();
        charset = name == null ? null : Charset.forName(name);
    }
}
