package io.penstock.gateway.fake;

import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.util.Map;

/// Two schedulers for a gateway under test, at ports that were free. Tests reach them through [#first] and [#second];
/// which side of Quarkus' class loaders they are on does not matter, because only ports cross.
public final class FakeSchedulers implements QuarkusTestResourceLifecycleManager {
    private static final String PORTS = "penstock.test.schedulers";

    private record Pair(FakeScheduler first, FakeScheduler second) {}

    private static Pair pair;

    @Override
    public Map<String, String> start() {
        int first = freePort();
        int second = freePort();
        System.setProperty(PORTS, first + "," + second);
        return Map.of("penstock.gateway.schedulers", "localhost:" + first + ",localhost:" + second);
    }

    @Override
    public void stop() {
        System.clearProperty(PORTS);
    }

    /// Serving.
    public static FakeScheduler first() {
        return pair().first();
    }

    /// Not started.
    public static FakeScheduler second() {
        return pair().second();
    }

    private static synchronized Pair pair() {
        if (pair == null) {
            String[] ports = System.getProperty(PORTS).split(",");
            pair = new Pair(
                    new FakeScheduler(Integer.parseInt(ports[0])), new FakeScheduler(Integer.parseInt(ports[1])));
            pair.first().start();
        }
        return pair;
    }

    private static int freePort() {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
