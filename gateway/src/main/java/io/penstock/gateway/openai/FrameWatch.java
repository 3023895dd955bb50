package io.penstock.gateway.openai;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/// Closes an HTTP/2 connection that does not come to its first request in time, or not to the end of
/// a frame or a block of headers that it began. Half of one holds up all that would come behind it,
/// so there is nobody to whom a status could be told.
@SuppressWarnings("FutureReturnValueIgnored") // What fails here is the connection, and that is told by its end.
final class FrameWatch extends ChannelInboundHandlerAdapter {
    private final Duration timeout;
    private final FrameBoundaries frames = new FrameBoundaries();
    private boolean opening;
    private long ended;
    private Future<?> deadline;

    /// @param opening whether the connection's first request is still to come
    FrameWatch(Duration timeout, boolean opening) {
        this.timeout = timeout;
        this.opening = opening;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        if (opening) {
            startDeadline(context);
        }
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        cancelDeadline();
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object bytes) {
        frames.read((ByteBuf) bytes);
        // Its other frames give nobody more time for the first request.
        if (!opening || frames.requested()) {
            opening = false;
            look(context);
        }
        context.fireChannelRead(bytes);
    }

    private void look(ChannelHandlerContext context) {
        if (deadline != null && ended != frames.ended()) {
            cancelDeadline();
        }
        ended = frames.ended();
        if (deadline == null && frames.halfway()) {
            startDeadline(context);
        }
    }

    private void startDeadline(ChannelHandlerContext context) {
        deadline = context.executor().schedule(() -> context.close(), timeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    private void cancelDeadline() {
        if (deadline != null) {
            deadline.cancel(false);
            deadline = null;
        }
    }
}
