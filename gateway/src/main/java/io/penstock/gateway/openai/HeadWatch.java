package io.penstock.gateway.openai;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.HttpResponseEncoder;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/// Sees the bytes of a connection as they reach its decoder: the first of a head starts the time
/// that this one has. The rest is done behind the decoder, by [UnreadableRequests]. On HTTP/2,
/// where half a head holds up its connection alone, there is nothing to watch.
///
/// A connection's first head has its time from the start: who opens connections and says nothing is
/// no better.
@SuppressWarnings("FutureReturnValueIgnored") // What fails here is the connection, and that is told by its end.
final class HeadWatch extends ChannelInboundHandlerAdapter {
    private final Duration headTimeout;
    private final UnreadableRequests requests;
    private Future<?> opening;

    HeadWatch(Duration headTimeout, Duration bodyTimeout) {
        this.headTimeout = headTimeout;
        this.requests = new UnreadableRequests(headTimeout, bodyTimeout);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        opening = context.executor().schedule(() -> context.close(), headTimeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        opening.cancel(false);
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object bytes) {
        if (!requests.attached()) {
            attach(context);
        }
        requests.bytesArrived();
        context.fireChannelRead(bytes);
    }

    private void attach(ChannelHandlerContext context) {
        if (requests.left() || context.pipeline().get(Http2ConnectionHandler.class) != null) {
            context.pipeline().remove(this);
        } else if (context.pipeline().get(HttpRequestDecoder.class) != null) {
            opening.cancel(false);
            String encoder =
                    context.pipeline().context(HttpResponseEncoder.class).name();
            context.pipeline().addAfter(encoder, null, requests);
        }
    }
}
