package io.penstock.loader.wire;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.penstock.model.PenstockException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpRequest;
import java.util.Deque;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;

/// HTTP/1.1 GETs and HEADs whose bodies go from the socket's buffer to their receiver without a copy: many
/// connections over a few event loops, each with one read in memory at a time.
///
/// A receiver may block its loop for as long as a write to a file takes; the sockets of that loop then
/// wait in the kernel, which is all the flow control there is to do.
public final class WireClient implements AutoCloseable {
    /// Bytes of one read from a socket: the memory that a connection takes while it delivers.
    public static final int READ_SIZE = 256 << 10;

    private static final int CONNECT_MILLIS = 10_000;
    private static final int MAX_LINE = 8 << 10;
    private static final int MAX_HEADERS = 64 << 10;
    private static final int PAGE_SIZE = 8 << 10;
    /// Pages of 8 KiB: the allocator takes memory from the system in chunks of 2 MiB.
    private static final int CHUNK_ORDER = 8;

    private final EventLoopGroup loops;
    private final PooledByteBufAllocator allocator;
    private final SslContext tls;
    private final Throttle throttle;
    private final Names names;
    private final Map<Origin, Deque<WireConnection>> idle = new ConcurrentHashMap<>();
    private final AtomicInteger turns = new AtomicInteger();

    /// What requests may share a connection for.
    ///
    /// @param reach part of it: a connection that one request may use may lead where another must not
    record Origin(boolean secure, String host, int port, Reach reach) {
        static Origin of(WireRequest request) {
            URI uri = request.http().uri();
            boolean secure = uri.getScheme().equalsIgnoreCase("https");
            int port = uri.getPort() >= 0 ? uri.getPort() : secure ? 443 : 80;
            return new Origin(secure, uri.getHost(), port, request.reach());
        }
    }

    /// @param threads event loops, > 0
    /// @param throttle over all connections
    public WireClient(int threads, Throttle throttle) {
        this(threads, throttle, Names.OF_THE_SYSTEM);
    }

    /// @param names asked once for each new connection
    public WireClient(int threads, Throttle throttle, Names names) {
        this.throttle = throttle;
        this.names = names;
        this.loops = new NioEventLoopGroup(threads, new DefaultThreadFactory("wire", true));
        this.allocator = new PooledByteBufAllocator(true, 0, threads, PAGE_SIZE, CHUNK_ORDER, 0, 0, false);
        try {
            this.tls = SslContextBuilder.forClient().build();
        } catch (SSLException e) {
            throw new IllegalStateException("this JVM has no TLS", e);
        }
    }

    /// One request. [#cancel] gives its connection up.
    public static final class Call {
        final HttpRequest request;
        final Receiver receiver;
        /// Guarded by this call's monitor.
        private WireConnection connection;

        private boolean cancelled;

        Call(HttpRequest request, Receiver receiver) {
            this.request = request;
            this.receiver = receiver;
        }

        /// @return false when it was cancelled before
        synchronized boolean runsOn(WireConnection given) {
            connection = given;
            return !cancelled;
        }

        public synchronized void cancel() {
            cancelled = true;
            if (connection != null) {
                connection.giveUp(this);
            }
        }
    }

    /// Sends it; the receiver hears of everything else, failures to connect included.
    public Call send(WireRequest request, Receiver receiver) {
        Call call = new Call(request.http(), receiver);
        Origin origin = Origin.of(request);
        WireConnection free = free(origin);
        if (free != null) {
            free.start(call);
        } else {
            connect(origin, call);
        }
        return call;
    }

    private WireConnection free(Origin origin) {
        Deque<WireConnection> connections = idle.get(origin);
        for (WireConnection found; connections != null && (found = connections.pollFirst()) != null; ) {
            if (found.isOpen()) {
                return found;
            }
        }
        return null;
    }

    void release(WireConnection connection) {
        idle.computeIfAbsent(connection.origin(), _ -> new ConcurrentLinkedDeque<>())
                .addFirst(connection);
    }

    void forget(WireConnection connection) {
        Deque<WireConnection> connections = idle.get(connection.origin());
        if (connections != null) {
            connections.remove(connection);
        }
    }

    /// To the addresses of a name by turns: large services have many front ends behind one.
    // INVARIANT: nothing here connects to what was not looked up and checked for that very connection.
    void connect(Origin origin, Call call) {
        InetAddress address;
        try {
            InetAddress[] addresses = origin.reach().addresses(origin.host(), names);
            address = addresses[Math.floorMod(turns.getAndIncrement(), addresses.length)];
        } catch (UnknownHostException | PenstockException e) {
            call.receiver.broken(e);
            return;
        }
        WireConnection connection = new WireConnection(this, origin, throttle);
        ChannelFuture connected = new Bootstrap()
                .group(loops)
                .channel(NioSocketChannel.class)
                .option(ChannelOption.ALLOCATOR, allocator)
                .option(ChannelOption.RCVBUF_ALLOCATOR, new FixedRecvByteBufAllocator(READ_SIZE))
                .option(ChannelOption.AUTO_READ, false)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.SO_KEEPALIVE, true)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MILLIS)
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        if (origin.secure()) {
                            channel.pipeline().addLast(tls(channel, origin));
                        }
                        channel.pipeline()
                                .addLast(new HttpClientCodec(MAX_LINE, MAX_HEADERS, READ_SIZE))
                                .addLast(connection);
                    }
                })
                .connect(new InetSocketAddress(address, origin.port()));
        connected.addListener(_ -> {
            if (connected.isSuccess()) {
                connection.start(call);
            } else {
                call.receiver.broken(connected.cause());
            }
        });
    }

    private SslHandler tls(Channel channel, Origin origin) {
        SslHandler handler = tls.newHandler(channel.alloc(), origin.host(), origin.port());
        SSLEngine engine = handler.engine();
        SSLParameters parameters = engine.getSSLParameters();
        // Without this the certificate's name is not looked at.
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        engine.setSSLParameters(parameters);
        return handler;
    }

    /// @return bytes of native memory that its buffers hold, those it keeps for the next reads included
    public long bufferBytes() {
        return allocator.metric().usedDirectMemory();
    }

    @Override
    public void close() {
        loops.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
    }
}
