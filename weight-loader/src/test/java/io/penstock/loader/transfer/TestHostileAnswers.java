package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.Throttle;
import io.penstock.loader.wire.WireClient;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A server that answers a range with something else: nothing of it may count as present, and memory stays
/// bounded.
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestHostileAnswers {
    private static final int SIZE = Fixture.PIECE;

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "HTTP/1.1 206 OK\r\ncontent-length: 65536\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/65537\r\ncontent-length: 65536\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 1-65535/65536\r\ncontent-length: 65536\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/*\r\ncontent-length: 65536\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/65536\r\ncontent-length: 65535\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/65536\r\ncontent-length: 999999\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/65536\r\ncontent-length: -1\r\n\r\n",
                "HTTP/1.1 206 OK\r\ncontent-range: bytes 0-65535/65536\r\netag: other\r\ncontent-length: 65536\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n",
                "HTTP/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
                "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/opc/v2/\r\ncontent-length: 0\r\n\r\n",
                "HTTP/1.1 99999 OK\r\n\r\n",
                "SSH-2.0-OpenSSH_9.6\r\n",
                "HTTP/1.1 206 OK\r\ntransfer-encoding: chunked\r\ncontent-range: RANGE\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
                "HTTP/1.1 206 OK\r\nx: LONG\r\n\r\n"
            })
    void isNeverTakenForTheRange(String answer) throws Exception {
        String sent = answer.replace("LONG", "x".repeat(1 << 20)).replace("RANGE", "bytes 0-65535/65536");
        RemoteFile file =
                new RemoteFile(Fixture.NAME, SIZE, "id", Optional.of("pinned"), Optional.empty(), Optional.empty());
        try (ServerSocket server = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
                CacheDirectory cache = new CacheDirectory(folder.resolve("cache"), Fixture.PIECE);
                var blob = cache.open(file);
                WireClient wire = new WireClient(1, new Throttle(0))) {
            Thread.startVirtualThread(() -> serve(server, sent));
            URI address = URI.create("http://127.0.0.1:" + server.getLocalPort() + "/x");
            Source.RangeRequests requests = (_, _) ->
                    WireRequest.unsigned(HttpRequest.newBuilder(address).build(), Reach.ANYWHERE);
            PartFetch fetch = new PartFetch(wire, Duration.ofMillis(300), new Pace());
            List<Integer> landed = new CopyOnWriteArrayList<>();
            assertThatThrownBy(() -> fetch.fetch(blob, requests, 0, 1, true, (piece, sum) -> landed.add(piece)))
                    .isInstanceOfAny(TransientFailure.class, PenstockException.class);
            // Only an answer that is longer than it may be gets as far as a whole piece, in its own place.
            if (!sent.contains("999999")) {
                assertThat(landed).isEmpty();
            }
            assertThat(blob.present().isEmpty()).isTrue();
            assertThat(wire.bufferBytes()).isLessThan(8 << 20);
        }
    }

    private static void serve(ServerSocket server, String answer) {
        while (!server.isClosed()) {
            try (Socket socket = server.accept()) {
                byte[] some = new byte[4096];
                if (socket.getInputStream().read(some) > 0) {
                    OutputStream out = socket.getOutputStream();
                    out.write(answer.getBytes(StandardCharsets.ISO_8859_1));
                    out.write(new byte[2 * SIZE]);
                    out.flush();
                    socket.shutdownOutput();
                    // Until the client has gone: an early close would be a fault of its own.
                    while (socket.getInputStream().read(some) > 0) {
                        // Nothing more is expected of it.
                    }
                }
            } catch (IOException e) {
                // The client gives up, or the test is over.
                Thread.onSpinWait();
            }
        }
    }
}
