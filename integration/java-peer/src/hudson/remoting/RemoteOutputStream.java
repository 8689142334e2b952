package hudson.remoting;

import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.Serializable;

/** An output stream that travels: the reader writes to the original (remoting-channel 4). */
public final class RemoteOutputStream extends OutputStream implements Serializable {
    private static final long serialVersionUID = 1;

    private transient OutputStream core;

    public RemoteOutputStream(OutputStream core) {
        this.core = core;
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        out.writeInt(Channel.current().exports().export(OutputStream.class, core));
    }

    private void readObject(ObjectInputStream in) throws IOException {
        core = new ProxyOutputStream(Channel.current(), in.readInt());
    }

    @Override
    public void write(int b) throws IOException {
        core.write(b);
    }

    @Override
    public void write(byte[] source, int offset, int length) throws IOException {
        core.write(source, offset, length);
    }

    @Override
    public void flush() throws IOException {
        core.flush();
    }

    @Override
    public void close() throws IOException {
        core.close();
    }
}
