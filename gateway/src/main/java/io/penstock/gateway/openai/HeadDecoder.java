package io.penstock.gateway.openai;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.LastHttpContent;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.impl.VertxHttpRequestDecoder;
import java.util.List;

/// The server's own decoder, which also tells whether it is in the midst of a head. Nobody else knows:
/// half a head may have come in one piece with the end of the request before it.
final class HeadDecoder extends VertxHttpRequestDecoder {
    private boolean firstLine;
    private boolean inBody;

    HeadDecoder(HttpServerOptions limits) {
        super(limits);
    }

    @Override
    protected HttpMessage createMessage(String[] initialLine) {
        firstLine = true;
        return super.createMessage(initialLine);
    }

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
        int before = out.size();
        super.decode(context, bytes, out);
        for (Object message : out.subList(before, out.size())) {
            if (message instanceof HttpRequest) {
                firstLine = false;
                inBody = true;
            }
            if (message instanceof LastHttpContent) {
                inBody = false;
            }
        }
    }

    /// Left as it is, for [UnreadableRequests] to refuse: by itself the decoder takes the length out.
    @Override
    protected void handleTransferEncodingChunkedWithContentLength(HttpMessage message) {}

    /// Whether part of a head has come, and not its end.
    boolean inHead() {
        return firstLine || (!inBody && actualReadableBytes() > 0);
    }
}
