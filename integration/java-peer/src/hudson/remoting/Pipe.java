package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.Serializable;

/** A pipe whose one end travels to the other side (remoting-channel 4). */
public final class Pipe implements Serializable {
    private static final long serialVersionUID = 1;
    private static final int BUFFER = 64 << 10;

    /** In the class's descriptor, never in its data. */
    private InputStream in;
    private OutputStream out;
    /** What the reader of the stream gets is the writing end. */
    private transient boolean remoteWrites;
    private transient OutputStream exported;

    private Pipe(InputStream in, OutputStream out) {
        this.in = in;
        this.out = out;
    }

    public InputStream getIn() {
        return in;
    }

    public OutputStream getOut() {
        return out;
    }

    /** The other side writes, this side reads. */
    public static Pipe createRemoteToLocal() {
        return createRemoteToLocal(new BytePipe(BUFFER));
    }

    static Pipe createRemoteToLocal(BytePipe bytes) {
        return createRemoteTo(bytes.in(), bytes.out());
    }

    /** The other side writes straight into {@code sink}. */
    public static Pipe createRemoteTo(InputStream in, OutputStream sink) {
        Pipe pipe = new Pipe(in, null);
        pipe.remoteWrites = true;
        pipe.exported = sink;
        return pipe;
    }

    /** This side writes, the other side reads; writing waits until it has connected. */
    public static Pipe createLocalToRemote() {
        return new Pipe(null, new ProxyOutputStream());
    }

    private void writeObject(ObjectOutputStream stream) throws IOException {
        OutputStream target = remoteWrites ? exported : out;
        stream.writeBoolean(remoteWrites);
        stream.writeInt(Channel.current().exports().export(OutputStream.class, target));
    }

    private void readObject(ObjectInputStream stream) throws IOException {
        Channel channel = Channel.current();
        boolean writing = stream.readBoolean();
        int oid = stream.readInt();
        if (writing) {
            out = new ProxyOutputStream(channel, oid);
            return;
        }
        // The writer's stream waits for a sink: make one and connect it.
        BytePipe bytes = new BytePipe(BUFFER);
        in = bytes.in();
        int sink = channel.exports().export(OutputStream.class, bytes.out());
        channel.send(new ConnectCommand(oid, sink));
    }

    /** Connects the receiver's waiting stream {@code oidRos} to the sender's sink {@code oidPos}. */
    public static final class ConnectCommand extends Command {
        private static final long serialVersionUID = -9128735897846418140L;
        private final int oidRos;
        private final int oidPos;

        ConnectCommand(int oidRos, int oidPos) {
            super(false);
            this.oidRos = oidRos;
            this.oidPos = oidPos;
        }

        @Override
        protected void execute(Channel channel) throws Exception {
            ProxyOutputStream stream = (ProxyOutputStream) channel.exports().get(oidRos);
            channel.exports().release(oidRos);
            stream.connect(channel, oidPos);
        }
    }
}
