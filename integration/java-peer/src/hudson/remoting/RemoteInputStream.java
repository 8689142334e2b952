package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.Serializable;

/** An input stream that travels: pulled by requests, or pushed through a pipe when greedy (remoting-channel 4). */
public final class RemoteInputStream extends InputStream implements Serializable {
    private static final long serialVersionUID = 1;

    /** How the bytes travel. */
    public enum Flag {
        GREEDY,
        NOT_GREEDY
    }

    private transient InputStream core;
    /** In the class's descriptor, never in its data. */
    private boolean autoUnexport;
    private boolean greedy;

    public RemoteInputStream(InputStream core, Flag flag) {
        this.core = core;
        this.greedy = flag == Flag.GREEDY;
        this.autoUnexport = true;
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        Channel channel = Channel.current();
        out.writeBoolean(greedy);
        if (!greedy) {
            out.writeInt(channel.exports().export(InputStream.class, core));
            return;
        }
        Pipe pipe = Pipe.createLocalToRemote();
        channel.pool().execute(() -> pump(core, pipe.getOut()));
        out.writeObject(pipe);
    }

    private static void pump(InputStream in, OutputStream out) {
        Channel.beginRequest(0);
        try {
            in.transferTo(out);
            out.close();
        } catch (IOException e) {
            if (out instanceof ErrorPropagatingOutputStream stream) stream.error(e);
        }
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        greedy = in.readBoolean();
        core = greedy ? ((Pipe) in.readObject()).getIn() : new ProxyInputStream(Channel.current(), in.readInt());
    }

    @Override
    public int read() throws IOException {
        return core.read();
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
        return core.read(target, offset, length);
    }

    @Override
    public void close() throws IOException {
        core.close();
    }
}
