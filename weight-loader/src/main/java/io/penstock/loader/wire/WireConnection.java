package io.penstock.loader.wire;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import io.penstock.loader.wire.WireClient.Call;
import java.io.EOFException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/// One connection: one call at a time, then it waits for the next. Everything but [#start], [#giveUp]
/// and [#isOpen] is on its event loop.
// How a close or a wait of the event loop ends is heard of in channelInactive.
@SuppressWarnings("FutureReturnValueIgnored")
final class WireConnection extends ChannelInboundHandlerAdapter {
    private static final long IDLE_SECONDS = 30;

    private final WireClient client;
    private final WireClient.Origin origin;
    private final Throttle throttle;
    private volatile Channel channel;
    private Call call;
    private boolean used;
    private boolean answered;
    private boolean interim;
    private boolean reusable;
    private long read;
    /// Until the next read; null where there is none.
    private Future<?> pause;
    private long turns;

    WireConnection(WireClient client, WireClient.Origin origin, Throttle throttle) {
        this.client = client;
        this.origin = origin;
        this.throttle = throttle;
    }

    WireClient.Origin origin() {
        return origin;
    }

    boolean isOpen() {
        return channel.isActive();
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        channel = context.channel();
    }

    /// Takes a call; the connection is nobody else's.
    void start(Call given) {
        channel.eventLoop().execute(() -> {
            call = given;
            answered = false;
            if (!given.runsOn(this)) {
                finish(new IOException("cancelled"));
                return;
            }
            turns++;
            channel.writeAndFlush(request(given.request)).addListener(sent -> {
                if (!sent.isSuccess() && call == given) {
                    finish(sent.cause());
                }
            });
            // Later reads follow one another: the call before this one may still have to be paid for.
            if (turns == 1) {
                channel.read();
            }
        });
    }

    private FullHttpRequest request(HttpRequest given) {
        URI uri = given.uri();
        String target = uri.getRawPath().isEmpty() ? "/" : uri.getRawPath();
        FullHttpRequest request = new DefaultFullHttpRequest(
                HttpVersion.HTTP_1_1,
                HttpMethod.valueOf(given.method()),
                uri.getRawQuery() == null ? target : target + "?" + uri.getRawQuery());
        given.headers().map().forEach((name, values) -> request.headers().set(name, values));
        // Signed by some sources, in this form.
        request.headers()
                .set(HttpHeaderNames.HOST, uri.getPort() < 0 ? uri.getHost() : uri.getHost() + ":" + uri.getPort());
        return request;
    }

    void giveUp(Call given) {
        channel.eventLoop().execute(() -> {
            if (call == given) {
                finish(new IOException("cancelled"));
            }
        });
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        try {
            if (call == null) {
                // Nothing was asked for: whatever it is, the two ends no longer agree.
                channel.close();
                return;
            }
            if (message instanceof HttpObject part && part.decoderResult().isFailure()) {
                throw new IOException("no HTTP: " + part.decoderResult().cause());
            }
            if (message instanceof HttpResponse response) {
                head(response);
            }
            if (message instanceof HttpContent content && !interim) {
                bytes(content);
                if (message instanceof LastHttpContent) {
                    finish(null);
                }
            }
        } catch (IOException | RuntimeException e) {
            finish(e);
        } finally {
            ReferenceCountUtil.release(message);
        }
    }

    private void head(HttpResponse response) {
        interim = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
        if (interim) {
            return;
        }
        answered = true;
        reusable = HttpUtil.isKeepAlive(response);
        Map<String, List<String>> headers = new HashMap<>();
        response.headers()
                .forEach(header -> headers.computeIfAbsent(
                                header.getKey().toLowerCase(Locale.ROOT), _ -> new ArrayList<>())
                        .add(header.getValue()));
        call.receiver.head(response.status().code(), HttpHeaders.of(headers, (_, _) -> true));
    }

    private void bytes(HttpContent content) {
        int count = content.content().readableBytes();
        if (count > 0) {
            read += count;
            for (ByteBuffer buffer : content.content().nioBuffers()) {
                call.receiver.bytes(buffer);
            }
        }
    }

    /// Reads on, also where no call is on: to learn of the other end's leaving.
    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        long wait = throttle.take(read);
        read = 0;
        // One to come, and no more: this is also called where nothing was read.
        if (pause != null) {
            pause.cancel(false);
            pause = null;
        }
        if (wait <= 0) {
            context.read();
        } else {
            pause = context.executor().schedule(() -> context.read(), wait, TimeUnit.NANOSECONDS);
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        client.forget(this);
        finish(new EOFException("the connection has ended"));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable failure) {
        // A failed handshake comes wrapped.
        finish(
                failure instanceof DecoderException && failure.getCause() instanceof IOException cause
                        ? cause
                        : failure);
        channel.close();
    }

    /// Ends the call and says so, or has it begun anew where an idle connection turned out to be closed.
    private void finish(Throwable failure) {
        Call ended = call;
        if (ended == null) {
            return;
        }
        call = null;
        if (failure == null) {
            if (reusable) {
                rest();
            } else {
                channel.close();
            }
            try {
                ended.receiver.end();
            } catch (RuntimeException e) {
                ended.receiver.broken(e);
            }
            return;
        }
        channel.close();
        if (used && !answered && failure instanceof IOException && ended.runsOn(null)) {
            // On a thread of its own: a name may have to be looked up.
            Thread.startVirtualThread(() -> client.connect(origin, ended));
        } else {
            ended.receiver.broken(failure);
        }
    }

    private void rest() {
        used = true;
        long now = turns;
        client.release(this);
        channel.eventLoop()
                .schedule(
                        () -> {
                            if (call == null && turns == now) {
                                channel.close();
                            }
                        },
                        IDLE_SECONDS,
                        TimeUnit.SECONDS);
    }
}
