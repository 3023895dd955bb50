package io.penstock.shard.collective.tcp;

import io.penstock.model.PenstockException;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jboss.logging.Logger;

/// The collective over TCP, for one epoch. [#connect] first; then the calls of [Collective] from the step
/// loop's thread. [#close] may come from any thread and ends whatever waits.
///
/// A sum sends each rank's values to all others and adds them in the order of ranks, in frames of at most
/// [Link#MAX_PAYLOAD] bytes: one trip, which is what counts for the few hundred floats of a decode step.
///
/// Long for one file, because wires are met, used and broken under the same rules, by the same thread.
public final class TcpCollective implements Collective {
    private static final Logger LOG = Logger.getLogger(TcpCollective.class);

    private final Membership membership;
    private final PeerListener listener;
    private final PeerAddress self;
    private final PeerAddress sampler;
    private final long spinNanos;
    private final long timeoutNanos;
    private final Pulse pulse;

    // By tensor-parallel rank; null at this rank's own place. Empty in a stage of one.
    private final Link[] mesh;
    private final float[] sum;
    private final float[] theirs;
    private Waiter meshWaiter;
    private Link previous;
    private Waiter previousWaiter;
    private Link next;
    private Outbox nextOutbox;
    // On the rank that samples, one for each other rank; elsewhere none.
    private final List<Link> listeners = new ArrayList<>();
    private final List<Outbox> listenerOutboxes = new ArrayList<>();
    // On the other ranks.
    private Link tokens;
    private Waiter tokensWaiter;

    // Whatever close() has to close; guarded by itself.
    private final List<AutoCloseable> open = new ArrayList<>();
    private volatile boolean closed;
    // As watchStage was told; null before. Guarded by `open`.
    private Runnable lost;

    /// @param spin how long to spin before sleeping; 0 where ranks outnumber processors
    public TcpCollective(Membership membership, PeerListener listener, Duration spin) {
        this.membership = membership;
        this.listener = listener;
        self = membership.self();
        sampler = membership.at(0, membership.ppSize() - 1);
        spinNanos = spin.toNanos();
        timeoutNanos = membership.timeout().toNanos();
        pulse = new Pulse(self.instance(), membership.epoch(), membership.timeout());
        int tpSize = membership.tpSize();
        mesh = new Link[tpSize];
        sum = new float[tpSize > 1 ? Link.MAX_FLOATS : 0];
        theirs = new float[tpSize > 1 ? Link.MAX_FLOATS : 0];
    }

    /// Meets every peer this rank exchanges anything with. They may take long to come (they load weights
    /// first); one that dies, was restarted or is in another epoch ends the wait.
    ///
    /// @throws PeerException as above, or if this object was closed meanwhile
    public void connect() {
        try {
            listener.join(membership.epoch());
            List<Wire> wires = wires();
            // All dials before any wait: so no rank waits for one that waits for it.
            for (Wire wire : wires) {
                if (dials(wire.peer)) {
                    wire.dial();
                }
            }
            for (Wire wire : wires) {
                if (!dials(wire.peer)) {
                    wire.claim();
                }
            }
            for (Wire wire : wires) {
                if (dials(wire.peer)) {
                    wire.awaitAccepted();
                }
            }
            meshWaiter = waiter();
            previousWaiter = waiter();
            tokensWaiter = waiter();
            for (Wire wire : wires) {
                wire.attach();
            }
        } catch (IOException e) {
            close();
            throw new PeerException(self.tpRank(), self.ppStage(), "cannot join its peers: " + e.getMessage(), e);
        } catch (RuntimeException e) {
            throw broken(self, e);
        }
    }

    private boolean dials(PeerAddress peer) {
        return self.index(membership.tpSize()) < peer.index(membership.tpSize());
    }

    private List<Wire> wires() {
        List<Wire> wires = new ArrayList<>();
        for (PeerAddress peer : membership.peers()) {
            if (peer.equals(self)) {
                continue;
            }
            if (peer.ppStage() == self.ppStage()) {
                wires.add(new Wire(peer, Lane.REDUCE));
            }
            if (peer.tpRank() == self.tpRank() && Math.abs(peer.ppStage() - self.ppStage()) == 1) {
                wires.add(new Wire(peer, Lane.ACTIVATIONS));
            }
            if (peer.equals(sampler) || self.equals(sampler)) {
                wires.add(new Wire(peer, Lane.TOKENS));
            }
        }
        return wires;
    }

    private Waiter waiter() throws IOException {
        return opened(new Waiter(spinNanos, timeoutNanos, pulse));
    }

    private <T extends AutoCloseable> T opened(T resource) throws IOException {
        synchronized (open) {
            if (closed) {
                PeerListener.closeQuietly(resource);
                throw new IOException("the epoch is over");
            }
            open.add(resource);
        }
        return resource;
    }

    /// One connection on its way to become a link.
    private final class Wire {
        private final PeerAddress peer;
        private final Lane lane;
        private SocketChannel channel;

        private Wire(PeerAddress peer, Lane lane) {
            this.peer = peer;
            this.lane = lane;
        }

        private void dial() {
            try {
                channel = opened(SocketChannel.open());
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                channel.socket()
                        .connect(
                                new InetSocketAddress(peer.host(), peer.port()),
                                Math.toIntExact(membership.timeout().toMillis()));
                ByteBuffer hello = ByteBuffer.wrap(
                        new Handshake(membership.epoch(), lane, self.instance(), peer.instance()).encoded());
                while (hello.hasRemaining()) {
                    channel.write(hello);
                }
            } catch (IOException | RuntimeException e) {
                throw new PeerException(
                        peer.tpRank(),
                        peer.ppStage(),
                        "cannot be reached at %s:%d: %s".formatted(peer.host(), peer.port(), e.getMessage()),
                        e);
            }
        }

        private void claim() {
            try {
                channel = opened(listener.claim(
                        new Handshake(membership.epoch(), lane, peer.instance(), self.instance()), () -> !closed));
                channel.write(ByteBuffer.wrap(new byte[] {Handshake.ACCEPTED}));
            } catch (IOException e) {
                throw new PeerException(peer.tpRank(), peer.ppStage(), "is gone: " + e.getMessage(), e);
            }
        }

        private void awaitAccepted() {
            ByteBuffer answer = ByteBuffer.allocate(1);
            try {
                if (channel.read(answer) == 1 && answer.get(0) == Handshake.ACCEPTED) {
                    return;
                }
            } catch (IOException e) {
                throw new PeerException(peer.tpRank(), peer.ppStage(), "is gone: " + e.getMessage(), e);
            }
            throw new PeerException(
                    peer.tpRank(),
                    peer.ppStage(),
                    "refused epoch %d: it was restarted or is in a later one".formatted(membership.epoch()),
                    null);
        }

        private void attach() throws IOException {
            Link link = new Link(peer, channel);
            switch (lane) {
                case REDUCE -> {
                    link.register(meshWaiter.selector());
                    mesh[peer.tpRank()] = link;
                }
                case ACTIVATIONS -> {
                    if (peer.ppStage() > self.ppStage()) {
                        next = link;
                        nextOutbox = opened(new Outbox(link, timeoutNanos, pulse));
                    } else {
                        link.register(previousWaiter.selector());
                        previous = link;
                    }
                }
                case TOKENS -> {
                    if (self.equals(sampler)) {
                        listeners.add(link);
                        listenerOutboxes.add(opened(new Outbox(link, timeoutNanos, pulse)));
                    } else {
                        link.register(tokensWaiter.selector());
                        tokens = link;
                    }
                }
                case PROBE -> throw new IllegalStateException("a probe is no link");
            }
        }
    }

    @Override
    public int tpRank() {
        return self.tpRank();
    }

    @Override
    public int tpSize() {
        return membership.tpSize();
    }

    @Override
    public int ppStage() {
        return self.ppStage();
    }

    @Override
    public int ppSize() {
        return membership.ppSize();
    }

    @Override
    public void allReduce(float[] values, int offset, int count) {
        if (mesh.length == 1) {
            return;
        }
        meshWaiter.begin();
        try {
            for (int done = 0; done < count; done += Link.MAX_FLOATS) {
                int part = Math.min(Link.MAX_FLOATS, count - done);
                exchange(values, offset + done, part);
                addInOrder(values, offset + done, part);
            }
        } catch (RuntimeException e) {
            throw broken(self, e);
        } finally {
            meshWaiter.end();
        }
    }

    private void exchange(float[] values, int offset, int count) {
        int bytes = count * Float.BYTES;
        for (Link link : mesh) {
            if (link != null) {
                link.stage(values, offset, count);
                link.expect(bytes);
            }
        }
        long since = 0;
        while (true) {
            boolean moved = false;
            Link pending = null;
            for (Link link : mesh) {
                if (link == null) {
                    continue;
                }
                int interest = 0;
                if (!link.written()) {
                    moved |= link.write();
                    interest = link.written() ? 0 : SelectionKey.OP_WRITE;
                }
                if (!link.received(bytes, bytes)) {
                    moved |= link.read();
                    interest |= link.received(bytes, bytes) ? 0 : SelectionKey.OP_READ;
                }
                // Exact, or the selector would return at once for a peer that is ahead of the one waited
                // for.
                link.interest(interest);
                if (interest != 0) {
                    pending = link;
                }
            }
            if (pending == null) {
                break;
            }
            since = moved ? 0 : meshWaiter.pause(since, pending.peer);
        }
    }

    private void addInOrder(float[] values, int offset, int count) {
        if (self.tpRank() == 0) {
            for (int rank = 1; rank < mesh.length; rank++) {
                mesh[rank].unload(theirs, 0, count);
                add(values, offset, theirs, 0, count);
            }
            return;
        }
        mesh[0].unload(sum, 0, count);
        for (int rank = 1; rank < mesh.length; rank++) {
            if (rank == self.tpRank()) {
                add(sum, 0, values, offset, count);
            } else {
                mesh[rank].unload(theirs, 0, count);
                add(sum, 0, theirs, 0, count);
            }
        }
        System.arraycopy(sum, 0, values, offset, count);
    }

    private static void add(float[] to, int toOffset, float[] from, int fromOffset, int count) {
        for (int i = 0; i < count; i++) {
            to[toOffset + i] += from[fromOffset + i];
        }
    }

    @Override
    public void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts) {
        int rank = self.tpRank();
        if (rank != 0) {
            meshWaiter.begin();
            try {
                sendToFirst(part, offset, counts[rank]);
            } catch (RuntimeException e) {
                throw broken(self, e);
            } finally {
                meshWaiter.end();
            }
            return;
        }
        System.arraycopy(part, offset, whole, wholeOffset, counts[0]);
        if (mesh.length == 1) {
            return;
        }
        meshWaiter.begin();
        try {
            int to = wholeOffset + counts[0];
            for (int from = 1; from < mesh.length; from++) {
                receiveFloats(mesh[from], meshWaiter, whole, to, counts[from]);
                to += counts[from];
            }
        } catch (RuntimeException e) {
            throw broken(self, e);
        } finally {
            meshWaiter.end();
        }
    }

    private void sendToFirst(float[] part, int offset, int count) {
        Link first = mesh[0];
        for (int done = 0; done < count; done += Link.MAX_FLOATS) {
            first.stage(part, offset + done, Math.min(Link.MAX_FLOATS, count - done));
            long since = 0;
            while (!first.written()) {
                if (first.write()) {
                    since = 0;
                } else {
                    waitOnlyFor(first, SelectionKey.OP_WRITE);
                    since = meshWaiter.pause(since, first.peer);
                }
            }
        }
    }

    private void waitOnlyFor(Link wanted, int operations) {
        for (Link link : mesh) {
            if (link != null) {
                link.interest(link == wanted ? operations : 0);
            }
        }
    }

    private void receiveFloats(Link link, Waiter waiter, float[] values, int offset, int count) {
        for (int done = 0; done < count; done += Link.MAX_FLOATS) {
            int part = Math.min(Link.MAX_FLOATS, count - done);
            receiveFrame(link, waiter, part * Float.BYTES, part * Float.BYTES);
            link.unload(values, offset + done, part);
        }
    }

    private void receiveFrame(Link link, Waiter waiter, int bytes, int most) {
        link.expect(bytes);
        long since = 0;
        while (!link.received(bytes, most)) {
            if (link.read()) {
                since = 0;
                continue;
            }
            if (waiter == meshWaiter) {
                waitOnlyFor(link, SelectionKey.OP_READ);
            } else {
                link.interest(SelectionKey.OP_READ);
            }
            since = waiter.pause(since, link.peer);
        }
    }

    @Override
    public void sendNext(float[] values, int offset, int count) {
        try {
            for (int done = 0; done < count; done += Link.MAX_FLOATS) {
                next.stage(values, offset + done, Math.min(Link.MAX_FLOATS, count - done));
                nextOutbox.send();
            }
        } catch (RuntimeException e) {
            throw broken(next.peer, e);
        }
    }

    @Override
    public void receivePrevious(float[] values, int offset, int count) {
        previousWaiter.begin();
        try {
            receiveFloats(previous, previousWaiter, values, offset, count);
        } catch (RuntimeException e) {
            throw broken(previous.peer, e);
        } finally {
            previousWaiter.end();
        }
    }

    @Override
    public void publishSampled(long number, int[] slots, int[] sampled, int count) {
        for (int i = 0; i < listeners.size(); i++) {
            Link link = listeners.get(i);
            ByteBuffer payload = link.payload();
            payload.putLong(number).putInt(count);
            for (int entry = 0; entry < count; entry++) {
                payload.putInt(slots[entry]).putInt(sampled[entry]);
            }
            link.seal(Long.BYTES + Integer.BYTES + 2 * Integer.BYTES * count);
            try {
                listenerOutboxes.get(i).send();
            } catch (RuntimeException e) {
                throw broken(link.peer, e);
            }
        }
    }

    @Override
    public int receiveSampled(long number, int[] slots, int[] sampled) {
        tokensWaiter.begin();
        try {
            receiveFrame(tokens, tokensWaiter, -1, Link.MAX_PAYLOAD);
            ByteBuffer payload = tokens.frame();
            long ofStep = payload.remaining() < Long.BYTES + Integer.BYTES ? -1 : payload.getLong();
            int count = ofStep < 0 ? -1 : payload.getInt();
            if (ofStep != number
                    || count < 0
                    || count > slots.length
                    || payload.remaining() != 2L * Integer.BYTES * count) {
                throw new PeerException(
                        sampler.tpRank(),
                        sampler.ppStage(),
                        "is out of step: sent %d tokens of step %d, expected at most %d of step %d"
                                .formatted(count, ofStep, slots.length, number),
                        null);
            }
            for (int entry = 0; entry < count; entry++) {
                slots[entry] = payload.getInt();
                sampled[entry] = payload.getInt();
            }
            return count;
        } catch (RuntimeException e) {
            throw broken(sampler, e);
        } finally {
            tokensWaiter.end();
        }
    }

    @Override
    public Duration timeout() {
        return membership.timeout();
    }

    @Override
    public void watchStage(Runnable whenLost) {
        boolean over;
        synchronized (open) {
            lost = whenLost;
            over = closed;
        }
        if (over) {
            whenLost.run();
            return;
        }
        Thread.ofPlatform().name("peer-watch").daemon().start(this::watch);
    }

    // Peers say nothing more on these wires: whatever comes is an end.
    private void watch() {
        try {
            for (Link link : mesh) {
                if (link != null) {
                    link.interest(SelectionKey.OP_READ);
                }
            }
            meshWaiter.selector().select();
        } catch (IOException | ClosedSelectorException | CancelledKeyException e) {
            LOG.debugf(e, "the watch over rank %d's peers ends", self.tpRank());
        } finally {
            close();
        }
    }

    @Override
    public long waitedNanos() {
        return meshWaiter.waitedNanos() + previousWaiter.waitedNanos() + tokensWaiter.waitedNanos();
    }

    // Closes all connections, so that the peers learn of it at once and not by their deadlines.
    private RuntimeException broken(PeerAddress peer, RuntimeException cause) {
        boolean over = closed;
        close();
        if (over) {
            return new PeerException(self.tpRank(), self.ppStage(), "left epoch " + membership.epoch(), cause);
        }
        return cause instanceof PenstockException
                ? cause
                : new PeerException(peer.tpRank(), peer.ppStage(), "failed: " + cause, cause);
    }

    @Override
    public void close() {
        Runnable told;
        synchronized (open) {
            closed = true;
            open.forEach(PeerListener::closeQuietly);
            open.clear();
            told = lost;
            lost = null;
        }
        if (told != null) {
            told.run();
        }
        listener.wake();
    }
}
