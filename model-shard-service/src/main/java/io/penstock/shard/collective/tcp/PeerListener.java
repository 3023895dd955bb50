package io.penstock.shard.collective.tcp;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.jboss.logging.Logger;

/// Where the other ranks of the group reach this process: one listening socket for its whole life. Ranks
/// hear of an epoch at different times, so a connection that comes early is parked until its epoch is joined
/// here.
public final class PeerListener implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(PeerListener.class);
    private static final int HANDSHAKE_MILLIS = 5_000;
    // Far more than a group needs; a bound on what strangers can make us hold.
    private static final int MAX_PARKED = 256;
    private static final int MAX_HANDSHAKES = 64;

    private final String instance;
    private final ServerSocketChannel server;
    private final Thread acceptor;
    private final Semaphore handshakes = new Semaphore(MAX_HANDSHAKES);
    private final AtomicLong probesAnswered = new AtomicLong();

    // Guards all below.
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Map<Handshake, SocketChannel> parked = new HashMap<>();
    private long joinedEpoch;
    private boolean closed;

    private PeerListener(String instance, ServerSocketChannel server) {
        this.instance = instance;
        this.server = server;
        acceptor = Thread.ofPlatform().daemon().name("peer-listener").start(this::accept);
    }

    /// @param host address to bind, never a wildcard by default
    /// @param port 0: any free one
    /// @param instance of this process
    public static PeerListener bind(String host, int port, String instance) {
        InetSocketAddress address = new InetSocketAddress(host, port);
        try {
            ServerSocketChannel server = ServerSocketChannel.open();
            try {
                server.bind(address);
            } catch (IOException | RuntimeException e) {
                server.close();
                throw e;
            }
            return new PeerListener(instance, server);
        } catch (IOException | RuntimeException e) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    e,
                    "cannot listen for peers on %s: %s; set penstock.shard.peer-bind to an address of this machine",
                    address,
                    e);
        }
    }

    public String instance() {
        return instance;
    }

    public int port() {
        return server.socket().getLocalPort();
    }

    private void accept() {
        while (server.isOpen()) {
            SocketChannel channel;
            try {
                channel = server.accept();
            } catch (IOException e) {
                if (server.isOpen()) {
                    // Out of descriptors, most likely: peers will see their connections refused and say so.
                    LOG.errorf(e, "accepting a peer failed");
                    continue;
                }
                return;
            }
            if (!handshakes.tryAcquire()) {
                closeQuietly(channel);
                continue;
            }
            Thread.ofVirtual().name("peer-handshake").start(() -> {
                try {
                    park(channel);
                } finally {
                    handshakes.release();
                }
            });
        }
    }

    private void park(SocketChannel channel) {
        Handshake handshake;
        try {
            channel.socket().setSoTimeout(HANDSHAKE_MILLIS);
            handshake = Handshake.read(channel.socket().getInputStream());
        } catch (IOException e) {
            LOG.warnf("refused a connection to the peer port: %s", e.getMessage());
            closeQuietly(channel);
            return;
        }
        if (handshake.lane() == Lane.PROBE) {
            answer(handshake, channel);
            return;
        }
        lock.lock();
        try {
            if (closed || !handshake.to().equals(instance) || handshake.epoch() < joinedEpoch) {
                LOG.warnf(
                        "refused peer %s: it means epoch %d of instance %s, this is epoch %d of %s",
                        handshake.from(), handshake.epoch(), handshake.to(), joinedEpoch, instance);
                closeQuietly(channel);
                return;
            }
            if (parked.size() >= MAX_PARKED) {
                LOG.warnf("refused peer %s: %d connections wait already", handshake.from(), MAX_PARKED);
                closeQuietly(channel);
                return;
            }
            SocketChannel replaced = parked.put(handshake, channel);
            if (replaced != null) {
                closeQuietly(replaced);
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void answer(Handshake probe, SocketChannel channel) {
        try (channel) {
            if (probe.to().equals(instance)) {
                channel.write(ByteBuffer.wrap(new byte[] {Handshake.ACCEPTED}));
                probesAnswered.incrementAndGet();
            }
        } catch (IOException e) {
            LOG.debugf(e, "answering %s", probe.from());
        }
    }

    /// @return how often a peer has asked whether this process is there
    long probesAnswered() {
        return probesAnswered.get();
    }

    /// From now on, connections of older epochs are refused; those parked are closed.
    void join(long epoch) {
        lock.lock();
        try {
            joinedEpoch = epoch;
            Iterator<Map.Entry<Handshake, SocketChannel>> entries =
                    parked.entrySet().iterator();
            while (entries.hasNext()) {
                Map.Entry<Handshake, SocketChannel> entry = entries.next();
                if (entry.getKey().epoch() < epoch) {
                    closeQuietly(entry.getValue());
                    entries.remove();
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /// Forgets every epoch: another scheduler may count from the start.
    public void leave() {
        lock.lock();
        try {
            joinedEpoch = 0;
            parked.values().forEach(PeerListener::closeQuietly);
            parked.clear();
        } finally {
            lock.unlock();
        }
    }

    /// Waits for a peer's connection, as long as `wanted` holds.
    ///
    /// @throws IOException if it no longer holds
    SocketChannel claim(Handshake handshake, BooleanSupplier wanted) throws IOException {
        lock.lock();
        try {
            while (true) {
                if (closed || !wanted.getAsBoolean()) {
                    throw new IOException("no longer wanted");
                }
                SocketChannel channel = parked.remove(handshake);
                if (channel != null) {
                    return channel;
                }
                changed.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }

    /// @return connections that wait for their epoch to be joined here
    int parkedCount() {
        lock.lock();
        try {
            return parked.size();
        } finally {
            lock.unlock();
        }
    }

    /// Makes [#claim] look again at whether it is wanted.
    void wake() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            parked.values().forEach(PeerListener::closeQuietly);
            parked.clear();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        closeQuietly(server);
        acceptor.interrupt();
    }

    static void closeQuietly(AutoCloseable channel) {
        try {
            channel.close();
        } catch (Exception e) {
            LOG.debugf(e, "closing %s", channel);
        }
    }
}
