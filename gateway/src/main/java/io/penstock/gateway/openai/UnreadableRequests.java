package io.penstock.gateway.openai;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import java.nio.channels.ClosedChannelException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/// Answers what does not come as far as the router, with the API's envelope: heads and bodies that
/// cannot be decoded, and those that do not come to their end in time. Such an answer is the last
/// of its connection, and waits for the answers to what was sent before. Lies between the codec of
/// an HTTP/1 connection and its server; runs on its event loop.
@SuppressWarnings("FutureReturnValueIgnored") // What fails here is the connection, and that is told by its end.
final class UnreadableRequests extends ChannelDuplexHandler {
    private static final long LINGER_SECONDS = 5;

    /// A read brings a few hundred of them; reading stops with the first.
    private static final int MOST_HELD = 10_000;

    private static final String HTTP2_SETTINGS = "http2-settings";
    private static final int SETTING_BYTES = 6;

    private final HeadDecoder decoder;
    private final Duration headTimeout;
    private final Duration bodyTimeout;
    private ChannelHandlerContext context;

    /// The connection speaks HTTP/1 no longer.
    private boolean left;

    private Future<?> deadline;

    /// A request's head has come, and the end of its body has not.
    private boolean inBody;

    /// Requests that the server has been given, and whose answers have not come to their end.
    private int unanswered;

    /// The first of those has part of its answer.
    private boolean answerBegun;

    /// What came behind a request that is not answered yet.
    private final ArrayDeque<Object> held = new ArrayDeque<>();

    private HttpError refusal;
    private boolean refused;

    UnreadableRequests(HeadDecoder decoder, Duration headTimeout, Duration bodyTimeout) {
        this.decoder = decoder;
        this.headTimeout = headTimeout;
        this.bodyTimeout = bodyTimeout;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext added) {
        context = added;
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext removed) {
        left = true;
        cancelDeadline();
        releaseHeld();
    }

    /// Called when the decoder is done with what has come.
    void bytesDecoded() {
        if (!left && held.isEmpty() && deadline == null && refusal == null && decoder.inHead()) {
            within(headTimeout, HttpError.headersTooSlow());
        }
    }

    private void within(Duration patience, HttpError error) {
        cancelDeadline();
        deadline = context.executor().schedule(() -> refuse(error), patience.toNanos(), TimeUnit.NANOSECONDS);
    }

    private void cancelDeadline() {
        if (deadline != null) {
            deadline.cancel(false);
            deadline = null;
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext reading, Object message) {
        if (refusal != null) {
            ReferenceCountUtil.release(message);
        } else if (isBehindAnother(message)) {
            hold(message);
        } else {
            take(message);
        }
    }

    private boolean isBehindAnother(Object message) {
        return !held.isEmpty() || (unanswered > 0 && message instanceof HttpRequest);
    }

    /// Vert.x (4.5) would take it, and then fail to notice when the connection goes: the request in
    /// hand would run to its end for nobody.
    private void hold(Object message) {
        cancelDeadline();
        held.add(message);
        context.channel().config().setAutoRead(false);
        if (held.size() > MOST_HELD) {
            context.close();
        }
    }

    private void takeHeld() {
        while (refusal == null && !held.isEmpty() && !(unanswered > 0 && held.peek() instanceof HttpRequest)) {
            take(held.poll());
        }
        // Until then the server keeps what it writes.
        context.fireChannelReadComplete();
        if (held.isEmpty()) {
            context.channel().config().setAutoRead(true);
            bytesDecoded();
        }
    }

    private void take(Object message) {
        DecoderResult result = message instanceof HttpObject part ? part.decoderResult() : DecoderResult.SUCCESS;
        if (result.isFailure()) {
            ReferenceCountUtil.release(message);
            refuse(errorOf(message, result.cause()));
            return;
        }
        if (message instanceof HttpRequest request) {
            if (!isSound(request)) {
                ReferenceCountUtil.release(message);
                refuse(HttpError.of(400));
                return;
            }
            inBody = true;
            unanswered++;
            within(bodyTimeout, HttpError.bodyTooSlow());
        }
        if (message instanceof LastHttpContent) {
            inBody = false;
            cancelDeadline();
        }
        context.fireChannelRead(message);
    }

    /// Not so with what the decoder lets through: other protocols and versions, which would be
    /// answered in kind, headers without a name, bodies that may end in two places; and what the
    /// server refuses in words of its own: backslashes in the address, a change to HTTP/2 with
    /// settings that are none, after which it would not even close.
    private static boolean isSound(HttpRequest request) {
        HttpVersion version = request.protocolVersion();
        return version.protocolName().equals("HTTP")
                && version.majorVersion() == 1
                && !request.headers().contains("")
                && request.uri().indexOf('\\') < 0
                && endsInOnePlace(request)
                && (!request.headers().contains(HttpHeaderNames.UPGRADE, "h2c", true)
                        || hasSettings(request.headers()));
    }

    /// As RFC 7540, 3.2.1 has them: base64url, six bytes a setting.
    private static boolean hasSettings(HttpHeaders headers) {
        String settings = headers.get(HTTP2_SETTINGS);
        if (settings == null
                || !headers.containsValue(HttpHeaderNames.CONNECTION, HttpHeaderValues.UPGRADE, true)
                || !headers.containsValue(HttpHeaderNames.CONNECTION, HTTP2_SETTINGS, true)) {
            return false;
        }
        try {
            return Base64.getUrlDecoder().decode(settings).length % SETTING_BYTES == 0;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    /// A proxy before us may go by the other header, and take for the next request what is body here
    /// (RFC 9112, 6.1).
    private static boolean endsInOnePlace(HttpRequest request) {
        List<String> codings = request.headers().getAll(HttpHeaderNames.TRANSFER_ENCODING);
        return codings.isEmpty()
                || (codings.size() == 1
                        && HttpHeaderValues.CHUNKED.contentEqualsIgnoreCase(codings.getFirst())
                        && !request.headers().contains(HttpHeaderNames.CONTENT_LENGTH)
                        && request.protocolVersion().minorVersion() > 0);
    }

    @Override
    public void channelInactive(ChannelHandlerContext gone) {
        cancelDeadline();
        releaseHeld();
        gone.fireChannelInactive();
    }

    private void releaseHeld() {
        held.forEach(ReferenceCountUtil::release);
        held.clear();
    }

    private static HttpError errorOf(Object message, Throwable cause) {
        return switch (cause) {
            // A chunk's first line has no status of its own.
            case TooLongHttpLineException _ when message instanceof HttpRequest -> HttpError.addressTooLong();
            case TooLongHttpHeaderException _ -> HttpError.headersTooLarge();
            default -> HttpError.of(400);
        };
    }

    @Override
    public void write(ChannelHandlerContext writing, Object message, ChannelPromise promise) {
        if (refused) {
            ReferenceCountUtil.release(message);
            promise.setFailure(new ClosedChannelException());
            return;
        }
        boolean informs = false;
        if (message instanceof HttpResponse response) {
            informs = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
            answerBegun |= !informs;
            if (response.status().code() == HttpResponseStatus.SWITCHING_PROTOCOLS.code()) {
                writing.write(message, promise);
                writing.pipeline().remove(this);
                return;
            }
        }
        writing.write(message, promise);
        if (message instanceof LastHttpContent && !informs) {
            unanswered--;
            answerBegun = false;
            if (refusal != null) {
                answerOnceDue();
            } else if (!held.isEmpty()) {
                // Not within this call: the server is not done with the request that it answers.
                context.executor().execute(this::takeHeld);
            }
        }
    }

    private void refuse(HttpError error) {
        if (refusal == null) {
            refusal = error;
            cancelDeadline();
            answerOnceDue();
        }
    }

    private void answerOnceDue() {
        // What is refused for its body is with the server, which does not hear of it before the connection closes.
        int own = inBody ? 1 : 0;
        if (unanswered > own) {
            return;
        }
        refused = true;
        if (unanswered < own || answerBegun) {
            // It has its answer, or part of one.
            context.close();
            return;
        }
        // Who is still sending does not listen.
        context.channel().config().setAutoRead(true);
        context.writeAndFlush(response()).addListener((ChannelFuture sent) -> {
            if (sent.isSuccess()
                    && sent.channel() instanceof DuplexChannel duplex
                    && sent.channel().pipeline().get(SslHandler.class) == null) {
                duplex.shutdownOutput();
                context.executor().schedule(() -> context.close(), LINGER_SECONDS, TimeUnit.SECONDS);
            } else {
                context.close();
            }
        });
    }

    private DefaultFullHttpResponse response() {
        DefaultFullHttpResponse response = new DefaultFullHttpResponse(
                HttpVersion.HTTP_1_1,
                HttpResponseStatus.valueOf(refusal.status()),
                Unpooled.wrappedBuffer(refusal.bytes()));
        response.headers()
                .set(HttpHeaderNames.CONTENT_TYPE, HttpHeaderValues.APPLICATION_JSON)
                .set(HttpHeaderNames.CONTENT_LENGTH, response.content().readableBytes())
                .set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        return response;
    }
}
