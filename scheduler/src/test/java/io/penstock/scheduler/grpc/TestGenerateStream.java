package io.penstock.scheduler.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.Token;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import org.junit.jupiter.api.Test;

/// A slow client must cost itself alone, and never see a clean end that is none.
final class TestGenerateStream {
    private final RecordingObserver observer = new RecordingObserver();
    private final OpenStreams open = new OpenStreams();
    private final GenerateStream stream = new GenerateStream(observer, 5, open);

    private boolean send(int position) {
        return stream.token(position, Token.newBuilder().setId(100 + position).build());
    }

    @Test
    void sendsEachTokenToAClientThatIsReady() {
        assertThat(send(3)).isTrue();
        assertThat(send(4)).isTrue();
        assertThat(observer.events).hasSize(2);
        assertThat(observer.events.get(1).getTokens().getFirstPosition()).isEqualTo(4);
        assertThat(open.open()).isEqualTo(1);
    }

    @Test
    void sendsWhatWasKeptAsOneEventThenTheEnd() {
        send(0);
        observer.ready(false);
        for (int position = 1; position < 5; position++) {
            assertThat(send(position)).isTrue();
        }
        stream.finished(Finished.newBuilder().setGeneratedTokens(5).build());
        assertThat(observer.events).hasSize(1);
        assertThat(observer.completed).isFalse();
        assertThat(open.open()).isEqualTo(1);
        observer.ready(true);
        assertThat(observer.events).hasSize(3);
        GenerateEvent kept = observer.events.get(1);
        assertThat(kept.getTokens().getFirstPosition()).isEqualTo(1);
        assertThat(kept.getTokens().getTokensList()).extracting(Token::getId).containsExactly(101, 102, 103, 104);
        assertThat(observer.events.get(2).getFinished().getGeneratedTokens()).isEqualTo(5);
        assertThat(observer.completed).isTrue();
        assertThat(open.open()).isZero();
    }

    @Test
    void refusesMoreThanItMayKeep() {
        observer.ready(false);
        for (int position = 0; position < 5; position++) {
            assertThat(send(position)).isTrue();
        }
        assertThat(send(5)).isFalse();
    }

    @Test
    void aFailureIsNoCleanEnd() {
        observer.ready(false);
        send(0);
        stream.failed(new PenstockException(ErrorCategory.OVERLOADED, "full"), 250);
        assertThat(observer.completed).isFalse();
        assertThat(Status.fromThrowable(observer.failure).getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(Status.trailersFromThrowable(observer.failure)).isNotNull();
        assertThat(Status.trailersFromThrowable(observer.failure).get(ErrorStatus.RETRY_AFTER))
                .isEqualTo("250");
        assertThat(open.open()).isZero();
        // What comes after is dropped, and says so.
        assertThat(send(1)).isFalse();
        stream.finished(Finished.getDefaultInstance());
        observer.ready(true);
        assertThat(observer.events).isEmpty();
    }

    @Test
    void hidesWhatOnlyTheLogMaySay() {
        stream.failed(new PenstockException(ErrorCategory.INTERNAL, "secret path"), 0);
        assertThat(Status.fromThrowable(observer.failure).getDescription()).isEqualTo("internal error");
    }

    @Test
    void aBrokenTransportEndsThisStreamAlone() {
        observer.closed.countDown();
        assertThat(send(0)).isFalse();
        assertThat(open.open()).isZero();
        stream.cancelled();
        assertThat(open.open()).isZero();
    }
}
