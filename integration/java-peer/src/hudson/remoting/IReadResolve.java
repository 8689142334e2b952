package hudson.remoting;

import java.io.ObjectStreamException;

/** Second interface of every travelling proxy: lets it become the local object when it comes home. */
public interface IReadResolve {
    Object readResolve() throws ObjectStreamException;
}
