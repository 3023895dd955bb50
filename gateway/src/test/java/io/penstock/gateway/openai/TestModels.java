package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.hamcrest.Matchers.contains;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.greaterThan;

import io.penstock.api.inference.GroupState;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.gateway.fake.TinyText;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.response.ValidatableResponse;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

@QuarkusTest
@TestProfile(TinyGateway.class)
class TestModels {
    private final FakeScheduler scheduler = FakeSchedulers.first();

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
    }

    @AfterEach
    void serving() {
        scheduler.start();
        scheduler.is(GroupState.GROUP_STATE_SERVING);
    }

    @Test
    void listAndSingle() {
        given().get("/v1/models")
                .then()
                .statusCode(200)
                .contentType("application/json")
                .body("object", equalTo("list"))
                .body("data.id", contains("plain", "thinker", "tiny", "wide"))
                .body("data[0].object", equalTo("model"))
                .body("data[0].owned_by", equalTo("penstock"));
        given().get("/v1/models/tiny")
                .then()
                .statusCode(200)
                .body("id", equalTo("tiny"))
                .body("created", greaterThan(1_600_000_000));
        given().get("/v1/models/none").then().statusCode(404).body("error.code", equalTo("model_not_found"));
    }

    @Test
    void readinessFollowsTheGroupsAndLivenessDoesNot() {
        scheduler.is(GroupState.GROUP_STATE_LOADING);
        Gateway.awaitReadiness(503);
        given().get("/q/health/live").then().statusCode(200);
        scheduler.is(GroupState.GROUP_STATE_SERVING);
        Gateway.awaitReadiness(200);
        scheduler.kill();
        Gateway.awaitReadiness(503);
        given().get("/v1/models/tiny").then().statusCode(200);
        scheduler.start();
        Gateway.awaitReadiness(200);
    }

    /// Whoever asks again is told the same, so nobody is told to.
    @Test
    void aModelWithoutATokenizerIsSaidWithItsReason() {
        await().atMost(10, TimeUnit.SECONDS)
                .untilAsserted(() -> given().get("/q/health/ready")
                        .then()
                        .body(
                                "checks.find { it.name == 'models' }.data." + TinyText.TEXTLESS,
                                equalTo("tokenizer.json: file: is missing")));
        ValidatableResponse answer = given().contentType("application/json")
                .body("{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"
                        .formatted(TinyText.TEXTLESS))
                .post("/v1/chat/completions")
                .then()
                .statusCode(503)
                .body("error.message", equalTo("The model cannot be served: tokenizer.json: file: is missing"));
        assertThat(answer.extract().header("retry-after")).isNull();
        given().get("/v1/models/" + TinyText.TEXTLESS).then().statusCode(404);
    }

    @Test
    void metricsHaveTheNamesThatDashboardsKnow() {
        scheduler.plays(Script.saying("secret words"));
        given().contentType("application/json")
                .body(Gateway.chat(""))
                .post("/v1/chat/completions")
                .then()
                .statusCode(200);
        String metrics = given().get("/q/metrics").asString();
        assertThat(metrics)
                .contains("gen_ai_server_request_duration_seconds_bucket{")
                .contains("gen_ai_server_time_to_first_token_seconds_bucket{")
                .contains("gen_ai_server_time_per_output_token_seconds_bucket{")
                .contains("gen_ai_client_token_usage_bucket{")
                .contains("vllm:time_to_first_token_seconds_bucket{model_name=\"tiny\"")
                .contains("vllm:inter_token_latency_seconds_bucket{model_name=\"tiny\"")
                .contains("vllm:e2e_request_latency_seconds_count{model_name=\"tiny\"")
                .contains("vllm:request_success_total{finished_reason=\"stop\",model_name=\"tiny\"}")
                .contains("http_server_requests_seconds_count")
                .doesNotContain("secret");
    }
}
