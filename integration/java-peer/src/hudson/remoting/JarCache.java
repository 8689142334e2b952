package hudson.remoting;

/** Where an agent keeps jars of its controller. This library loads single classes and needs none. */
public abstract class JarCache {}
