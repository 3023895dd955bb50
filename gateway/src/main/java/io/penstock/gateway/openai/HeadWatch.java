package io.penstock.gateway.openai;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.HttpResponseEncoder;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.vertx.core.http.HttpServerOptions;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/// Sees the bytes of a connection as they reach its decoder, and puts there what keeps the deadlines of
/// its protocol: [UnreadableRequests] behind the decoder of HTTP/1, [FrameWatch] in its own place for
/// HTTP/2, which a connection may also change to.
///
/// A connection's first head has its time from the start: who opens connections and says nothing is
/// no better.
@SuppressWarnings("FutureReturnValueIgnored") // What fails here is the connection, and that is told by its end.
final class HeadWatch extends ChannelInboundHandlerAdapter {
    private final HttpServerOptions limits;
    private final Duration headTimeout;
    private final Duration bodyTimeout;
    private UnreadableRequests requests;
    private Future<?> opening;

    /// @param limits of heads, as the server has them
    HeadWatch(HttpServerOptions limits, Duration headTimeout, Duration bodyTimeout) {
        this.limits = limits;
        this.headTimeout = headTimeout;
        this.bodyTimeout = bodyTimeout;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        opening = context.executor().schedule(() -> context.close(), headTimeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        opening.cancel(false);
        ChannelPipeline pipeline = context.pipeline();
        if (requests != null && pipeline.get(Http2ConnectionHandler.class) != null) {
            // The server changes to HTTP/2, for which it removes whatever it does not know.
            pipeline.addFirst(new FrameWatch(headTimeout, false));
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object bytes) {
        ChannelPipeline pipeline = context.pipeline();
        if (requests == null && pipeline.get(Http2ConnectionHandler.class) != null) {
            FrameWatch frames = new FrameWatch(headTimeout, true);
            pipeline.replace(this, null, frames);
            frames.channelRead(pipeline.context(frames), bytes);
            return;
        }
        if (requests == null && pipeline.get(HttpRequestDecoder.class) != null) {
            watchRequests(pipeline);
        }
        context.fireChannelRead(bytes);
        if (requests != null) {
            requests.bytesDecoded();
        }
    }

    private void watchRequests(ChannelPipeline pipeline) {
        opening.cancel(false);
        HeadDecoder decoder = new HeadDecoder(limits);
        // By its name it is found again, where the protocol is changed.
        String name = pipeline.context(HttpRequestDecoder.class).name();
        pipeline.replace(name, name, decoder);
        requests = new UnreadableRequests(decoder, headTimeout, bodyTimeout);
        pipeline.addAfter(pipeline.context(HttpResponseEncoder.class).name(), null, requests);
    }
}
