package io.penstock.shard.collective.tcp;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// A shard group's collectives in one process, each rank with its own listener, socket and thread.
public final class Ranks implements AutoCloseable {
    public interface Work<T> {
        T run(TcpCollective collective) throws Exception;
    }

    private static final long LIMIT_SECONDS = 20;

    final List<PeerListener> listeners = new ArrayList<>();
    final List<TcpCollective> collectives = new ArrayList<>();
    private final List<ExecutorService> threads = new ArrayList<>();

    /// Ranks of stage 0 first.
    public Ranks(int tpSize, int ppSize, Duration timeout) {
        List<PeerAddress> peers = new ArrayList<>();
        for (int index = 0; index < tpSize * ppSize; index++) {
            PeerListener listener = PeerListener.bind("127.0.0.1", 0, "instance-" + index);
            listeners.add(listener);
            peers.add(
                    new PeerAddress(index % tpSize, index / tpSize, "127.0.0.1", listener.port(), listener.instance()));
            threads.add(Executors.newSingleThreadExecutor());
        }
        for (int index = 0; index < peers.size(); index++) {
            collectives.add(new TcpCollective(
                    new Membership(7, tpSize, ppSize, peers.get(index), peers, timeout),
                    listeners.get(index),
                    Duration.ofNanos(20_000)));
        }
        join(all(collective -> {
            collective.connect();
            return null;
        }));
    }

    public TcpCollective collective(int index) {
        return collectives.get(index);
    }

    public <T> List<Future<T>> all(Work<T> work) {
        List<Future<T>> results = new ArrayList<>();
        for (int index = 0; index < collectives.size(); index++) {
            results.add(on(index, work));
        }
        return results;
    }

    public <T> Future<T> on(int index, Work<T> work) {
        Callable<T> call = () -> work.run(collectives.get(index));
        return threads.get(index).submit(call);
    }

    public static <T> List<T> join(List<Future<T>> futures) {
        List<T> results = new ArrayList<>();
        for (Future<T> future : futures) {
            results.add(join(future));
        }
        return results;
    }

    public static <T> T join(Future<T> future) {
        try {
            return future.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new AssertionError(e);
        } catch (TimeoutException | InterruptedException e) {
            throw new AssertionError("not done after " + LIMIT_SECONDS + " s", e);
        }
    }

    @Override
    public void close() {
        collectives.forEach(TcpCollective::close);
        listeners.forEach(PeerListener::close);
        threads.forEach(ExecutorService::shutdownNow);
    }
}
