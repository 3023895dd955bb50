package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.hamcrest.Matchers.equalTo;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.GroupState;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.Script.Incident;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.model.ErrorCategory;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.response.ValidatableResponse;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Schedulers that are lost, not there, or break their contract.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestResumption {
    private final FakeScheduler first = FakeSchedulers.first();
    private final FakeScheduler second = FakeSchedulers.second();

    @BeforeEach
    void oneScheduler() {
        first.start();
        first.is(GroupState.GROUP_STATE_SERVING);
        Gateway.awaitReady();
    }

    @AfterEach
    void secondAway() {
        second.kill();
        second.is(GroupState.GROUP_STATE_SERVING);
    }

    private static ValidatableResponse chat(String fields) {
        return given().contentType("application/json")
                .body(Gateway.chat(fields))
                .post("/v1/chat/completions")
                .then();
    }

    @Test
    void aStreamGoesOnWithTheSameSchedulerWhenItIsBack() throws Exception {
        first.plays(Script.saying("hello world").with(5, new Incident.Die()));
        Thread reviver = Thread.ofVirtual().start(() -> {
            try {
                first.nextCall();
                while (!first.dead()) {
                    Thread.onSpinWait();
                }
                first.start();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        chat(",\"seed\":77")
                .statusCode(200)
                .body("choices[0].message.content", equalTo("hello world"))
                .body("usage.completion_tokens", equalTo(11));
        reviver.join();
        GenerateRequest again = first.nextCall().request();
        assertThat(again.getSampling().getSeed()).isEqualTo(77);
        assertThat(again.getResumeTokensList()).startsWith((int) 'h', (int) 'e');
        assertThat(again.getPromptTokensCount()).isEqualTo(5);
    }

    @Test
    void aStreamGoesOnWithAnotherScheduler() throws Exception {
        CountDownLatch secondThere = new CountDownLatch(1);
        first.plays(Script.saying("hello world").with(5, new Incident.Pause(secondThere)));
        second.plays(Script.saying("hello world"));
        Thread swap = Thread.ofVirtual().start(() -> {
            try {
                first.nextCall();
                first.kill();
                second.start();
                secondThere.countDown();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        String answer = chat(",\"stream\":true").statusCode(200).extract().asString();
        swap.join();
        assertThat(TestTextCompletions.contents(answer)).isEqualTo("hello world");
        assertThat(answer).endsWith("data: [DONE]\n\n").doesNotContain("error");
        assertThat(second.nextCall().request().getResumeTokensCount()).isBetween(0, 5);
    }

    @Test
    void aSchedulerThatStaysAwayFailsTheStreamWithoutACleanEnd() {
        first.plays(Script.saying("hello world").with(5, new Incident.Die()));
        String answer = chat(",\"stream\":true").statusCode(200).extract().asString();
        assertThat(TestTextCompletions.contents(answer)).isEqualTo("hello");
        assertThat(answer)
                .contains("data: {\"error\":{\"message\":\"The model cannot be reached")
                .doesNotContain("[DONE]")
                .doesNotContain("\"finish_reason\":\"");
    }

    @Test
    void aSchedulerThatIsNotThereIsSaidAtOnce() {
        first.is(GroupState.GROUP_STATE_FORMING);
        Gateway.awaitReadiness(503);
        long start = System.nanoTime();
        chat("").statusCode(503).header("retry-after", "2").body("error.code", equalTo("service_unavailable"));
        assertThat(System.nanoTime() - start).isLessThan(2_000_000_000L);
        chat(",\"stream\":true").statusCode(503);
    }

    /// No advice to come again: it would be told the same.
    @Test
    void aGroupThatCanNeverServeIsSaidWithItsReason() {
        first.refuses("too few heads");
        Gateway.awaitReadiness(503);
        ValidatableResponse answer = chat("");
        answer.statusCode(503)
                .body("error.code", equalTo("service_unavailable"))
                .body("error.message", equalTo("The model cannot be served: too few heads"));
        assertThat(answer.extract().header("retry-after")).isNull();

        // Another group of the model may yet come.
        second.is(GroupState.GROUP_STATE_FORMING);
        second.start();
        await().atMost(10, TimeUnit.SECONDS).until(() -> chat("").extract().header("retry-after") != null);
    }

    @Test
    void aRefusalIsPassedOnWithItsStatus() {
        first.plays(Script.saying("")
                .with(
                        0,
                        new Incident.Fail(ErrorStatus.toStatus(ErrorCategory.BAD_INPUT, "never fits: 9 of 8 blocks"))));
        chat("").statusCode(400).body("error.message", equalTo("never fits: 9 of 8 blocks"));
        first.plays(Script.saying("")
                .with(0, new Incident.Fail(ErrorStatus.toStatus(ErrorCategory.OVERLOADED, "queue of 7 is full"))));
        chat(",\"stream\":true").statusCode(429).header("retry-after", "1");
        for (Map.Entry<String, String> advice :
                Map.of("2001", "3", "9999999999", "300", "-5", "1", "soon", "1").entrySet()) {
            StatusRuntimeException busy = ErrorStatus.toStatus(ErrorCategory.OVERLOADED, "queue of 7 is full");
            busy.getTrailers().put(ErrorStatus.RETRY_AFTER, advice.getKey());
            first.plays(Script.saying("").with(0, new Incident.Fail(busy)));
            chat("").statusCode(429).header("retry-after", advice.getValue());
        }
        first.plays(Script.saying("")
                .with(0, new Incident.Fail(ErrorStatus.toStatus(ErrorCategory.UNAVAILABLE, "no group"))));
        chat("").statusCode(503);
    }

    @Test
    void textsForOperatorsStayHere() {
        first.plays(Script.saying("abc")
                .with(
                        2,
                        new Incident.Fail(
                                Status.INTERNAL.withDescription("at 0x7f").asRuntimeException())));
        chat("").statusCode(500).body("error.message", equalTo("Something broke on our side."));
        first.plays(Script.saying("abc")
                .with(
                        2,
                        new Incident.Fail(
                                Status.INTERNAL.withDescription("at 0x7f").asRuntimeException())));
        assertThat(chat(",\"stream\":true").statusCode(200).extract().asString())
                .contains("\"error\":{")
                .doesNotContain("0x7f")
                .doesNotContain("[DONE]");
    }

    @Test
    void tokensThatComeTwiceAreTakenOnce() {
        first.plays(Script.saying("hello").with(4, new Incident.Repeat(3)));
        chat("").statusCode(200).body("choices[0].message.content", equalTo("hello"));
    }

    @Test
    void aGapAndAMissingEndAreErrors() {
        first.plays(Script.saying("hello").with(3, new Incident.Skew(2)));
        chat("").statusCode(500);
        first.plays(Script.saying("hello").with(3, new Incident.Hush()));
        assertThat(chat(",\"stream\":true").statusCode(200).extract().asString())
                .contains("\"error\":{")
                .doesNotContain("[DONE]");
    }

    @Test
    void aRefusedResumptionIsTriedAgain() {
        // The scheduler is back before its group is.
        first.plays(Script.saying("hello")
                .with(3, new Incident.Fail(ErrorStatus.toStatus(ErrorCategory.UNAVAILABLE, "draining"))));
        chat("").statusCode(200).body("choices[0].message.content", equalTo("hello"));
    }
}
