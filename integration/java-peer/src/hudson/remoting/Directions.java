package hudson.remoting;

/** What an agent may run on a controller: protocol internals and callables made for that direction. */
final class Directions {
    private Directions() {}

    static void check(Object callable) {
        boolean internal = callable instanceof PingThread.Ping
                || callable instanceof Channel.IOSyncer
                || callable instanceof RemoteInvocationHandler.RPCRequest;
        if (internal || callable instanceof jenkins.security.SlaveToMasterCallable) return;
        throw new SecurityException("Sending " + callable.getClass().getName() + " from agent to controller is prohibited");
    }
}
