package io.penstock.loader.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A name whose owner changes what it means must not lead a request to where it may not go: not between the look that
/// is
/// taken at it and the connection, and not for the next connection.
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestReach {
    private static final String NAME = "network.example";
    private static final String PUBLIC = "203.0.113.7";

    /// What the name means, look by look; the last answer stays.
    private final Queue<List<String>> answers = new ArrayDeque<>();

    private final List<String> looks = new CopyOnWriteArrayList<>();
    private final List<String> asked = new CopyOnWriteArrayList<>();
    private HttpServer one;
    private HttpServer two;
    private WireClient client;

    @BeforeEach
    void start() throws IOException {
        one = server("127.0.0.1", 0);
        two = server("127.0.0.2", one.getAddress().getPort());
        client = new WireClient(1, new Throttle(0), this::addresses);
    }

    private HttpServer server(String address, int port) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(address, port), 0);
        server.createContext("/", exchange -> {
            asked.add(address);
            boolean last = exchange.getRequestURI().getPath().equals("/last");
            if (last) {
                exchange.getResponseHeaders().add("connection", "close");
            }
            exchange.sendResponseHeaders(204, -1);
            exchange.close();
        });
        server.start();
        return server;
    }

    private InetAddress[] addresses(String host) {
        looks.add(host);
        List<String> now = answers.size() > 1 ? answers.remove() : answers.element();
        return now.stream().map(InetAddress::ofLiteral).toArray(InetAddress[]::new);
    }

    @AfterEach
    void stop() {
        client.close();
        one.stop(0);
        two.stop(0);
    }

    private int status(String path, Reach reach) throws Exception {
        URI uri = URI.create("http://" + NAME + ":" + one.getAddress().getPort() + path);
        Answer answer = new Answer();
        client.send(WireRequest.unsigned(HttpRequest.newBuilder(uri).build(), reach), answer);
        try {
            return answer.ended.get();
        } catch (ExecutionException e) {
            throw (Exception) e.getCause();
        }
    }

    @Test
    void aNameIsLookedUpOnceAndThatAddressIsConnectedTo() throws Exception {
        answers.add(List.of("127.0.0.1"));
        answers.add(List.of("127.0.0.2"));
        assertThat(status("/", Reach.ANYWHERE)).isEqualTo(204);
        assertThat(asked).containsExactly("127.0.0.1");
        assertThat(looks).containsExactly(NAME);
    }

    @Test
    void aNameThatHasBecomePrivateIsRefusedBeforeAByteIsSent() {
        answers.add(List.of("127.0.0.1"));
        assertThatThrownBy(() -> status("/", Reach.PUBLIC))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining(NAME + " is refused: it is the private address 127.0.0.1");
        assertThat(asked).isEmpty();
        assertThat(looks).containsExactly(NAME);
    }

    @Test
    void onePrivateAddressAmongOthersIsEnough() {
        answers.add(List.of(PUBLIC, "127.0.0.1", PUBLIC));
        for (int i = 0; i < 3; i++) {
            assertThatThrownBy(() -> status("/", Reach.PUBLIC)).isInstanceOf(PenstockException.class);
        }
        assertThat(asked).isEmpty();
    }

    /// A connection that the operator's own source has made to a neighbour is not for what somebody else has named.
    @Test
    void aConnectionThatIsOpenIsNotSharedWithARequestThatMayNotGoThere() throws Exception {
        answers.add(List.of("127.0.0.1"));
        assertThat(status("/", Reach.ANYWHERE)).isEqualTo(204);
        assertThatThrownBy(() -> status("/", Reach.PUBLIC)).isInstanceOf(PenstockException.class);
        assertThat(status("/", Reach.ANYWHERE)).isEqualTo(204);
        assertThat(asked).hasSize(2);
    }

    @Test
    void eachNewConnectionLooksAgain() throws Exception {
        answers.add(List.of("127.0.0.1"));
        answers.add(List.of("127.0.0.2"));
        assertThat(status("/last", Reach.ANYWHERE)).isEqualTo(204);
        assertThat(status("/last", Reach.ANYWHERE)).isEqualTo(204);
        assertThat(asked).containsExactly("127.0.0.1", "127.0.0.2");
        assertThat(looks).hasSize(2);
    }

    private static final class Answer implements Receiver {
        private final CompletableFuture<Integer> ended = new CompletableFuture<>();
        private int status;

        @Override
        public void head(int given, HttpHeaders headers) {
            status = given;
        }

        @Override
        public void bytes(ByteBuffer bytes) {
            throw new IllegalStateException("there are none");
        }

        @Override
        public void end() {
            ended.complete(status);
        }

        @Override
        public void broken(Throwable failure) {
            ended.completeExceptionally(failure);
        }
    }
}
