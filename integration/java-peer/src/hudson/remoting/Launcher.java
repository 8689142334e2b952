package hudson.remoting;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.concurrent.Executors;

/** An agent on standard input and output. */
public final class Launcher {
    private Launcher() {}

    public static void main(String[] arguments) throws Exception {
        OutputStream output = new FileOutputStream(FileDescriptor.out);
        InputStream input = System.in;
        System.setOut(System.err);
        Channel channel = new ChannelBuilder("channel", Executors.newCachedThreadPool()).build(input, output);
        channel.join();
        System.exit(0);
    }
}
