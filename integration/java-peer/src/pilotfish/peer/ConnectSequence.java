package pilotfish.peer;

import hudson.EnvVars;
import hudson.FilePath;
import hudson.FilePath.FileCallable;
import hudson.FilePath.FileCallableWrapper;
import hudson.model.Slave.GetClockDifference2;
import hudson.model.Slave.GetClockDifference3;
import hudson.node_monitors.ArchitectureMonitor.GetArchTask;
import hudson.node_monitors.DiskSpaceMonitorDescriptor.DiskSpace;
import hudson.node_monitors.DiskSpaceMonitorDescriptor.GetUsableSpace;
import hudson.node_monitors.ResponseTimeMonitor.Data;
import hudson.node_monitors.ResponseTimeMonitor.Step2;
import hudson.node_monitors.ResponseTimeMonitor.Step3;
import hudson.node_monitors.SwapSpaceMonitor.MemoryUsage2;
import hudson.node_monitors.SwapSpaceMonitor.MonitorTask;
import hudson.node_monitors.TemporarySpaceMonitor.GetTempSpace;
import hudson.remoting.Channel;
import hudson.remoting.PingThread.Ping;
import hudson.remoting.UserRequest;
import hudson.slaves.ChannelPinger.SetUpRemotePing;
import hudson.slaves.SlaveComputer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jenkins.slaves.StandardOutputSwapper.ChannelSwapper;
import jenkins.slaves.restarter.JnlpSlaveRestarterInstaller.FindEffectiveRestarters;
import jenkins.slaves.restarter.SlaveRestarter;
import jenkins.slaves.restarter.UnixSlaveRestarter;
import jenkins.slaves.restarter.WinswSlaveRestarter;
import jenkins.util.SystemProperties.AgentCopier.CopySystemProperties;

/** What a controller asks between the upgrade and "online", in the order of the recording 01-connect. */
public final class ConnectSequence {
    private final Channel channel;
    private final String root;

    /** What the agent said about itself. */
    public record Facts(String version, String protocol, boolean unix, String charset, EnvVars environment) {}

    /** What the monitors found. */
    public record Health(String architecture, DiskSpace disk, DiskSpace temporary, MemoryUsage2 memory, GetClockDifference3 clock, Step3 response) {}

    /** {@code root} is the node's directory on the agent's side. */
    public ConnectSequence(Channel channel, String root) {
        this.channel = channel;
        this.root = root;
    }

    private <T> T on(String path, FileCallable<T> callable) throws IOException, InterruptedException {
        return channel.call(new FileCallableWrapper<>(callable, new FilePath(channel, path)));
    }

    /** Everything before the node counts as online. */
    public Facts setUp() throws Exception {
        return setUp(240, 300);
    }

    /** The same, with times of the agent's pings in seconds: how long it waits for an answer, and between them. */
    public Facts setUp(int pingTimeout, int pingInterval) throws Exception {
        String version = channel.call(new SlaveComputer.SlaveVersion());
        String protocol = channel.call(new SlaveComputer.CommunicationProtocol());
        boolean unix = channel.call(new SlaveComputer.DetectOS());
        String charset = channel.call(new SlaveComputer.DetectDefaultCharset());
        channel.call(new SlaveComputer.SlaveInitializer(256));
        channel.call(new SetUpRemotePing(pingTimeout, pingInterval));
        // The first ping overlaps the next question (live-findings 5).
        UserRequest<Boolean, Exception> swapper = channel.callAsync(new ChannelSwapper());
        UserRequest<Void, IOException> ping = channel.callAsync(new Ping());
        ping.result(Channel.ANSWER_SECONDS);
        if (swapper.result(Channel.ANSWER_SECONDS)) throw new IOException("the agent wants to swap its standard output");
        Map<String, String> properties = new HashMap<>();
        properties.put("hudson.util.StreamTaskListener.AUTO_FLUSH", null);
        channel.call(new CopySystemProperties(properties));
        EnvVars environment = channel.call(new EnvVars.GetEnvVars());
        on(environment.getOrDefault("HOME", "/") + "/.gradle/init.d/init-build-scan.gradle", new FilePath.Exists());
        on(root + "/jenkins-gradle-plugin/lib", new FilePath.DeleteContents());
        on(root + "/workspace/workspaces.txt", new FilePath.Exists());
        List<SlaveRestarter> restarters = new ArrayList<>(List.of(new UnixSlaveRestarter(), new WinswSlaveRestarter()));
        channel.call(new FindEffectiveRestarters(restarters));
        return new Facts(version, protocol, unix, charset, environment);
    }

    /** The node monitors, all at once. */
    public Health monitors() throws Exception {
        FilePath node = new FilePath(channel, root);
        UserRequest<DiskSpace, IOException> disk = channel.callAsync(new FilePath.CallableWith<>(node, new GetUsableSpace()));
        UserRequest<String, IOException> architecture = channel.callAsync(new GetArchTask());
        UserRequest<MemoryUsage2, IOException> memory = channel.callAsync(new MonitorTask());
        UserRequest<GetClockDifference3, IOException> clock = channel.callAsync(new GetClockDifference2(System.currentTimeMillis()));
        UserRequest<DiskSpace, IOException> temporary = channel.callAsync(new FilePath.CallableWith<>(node, new GetTempSpace()));
        UserRequest<Step3, IOException> response = channel.callAsync(new Step2(new Data(1, 2), System.currentTimeMillis()));
        return new Health(architecture.result(60), disk.result(60), temporary.result(60), memory.result(60), clock.result(60), response.result(60));
    }
}
