package io.penstock.gateway.access;

import static io.restassured.RestAssured.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.hamcrest.Matchers.equalTo;

import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.util.List;
import org.junit.jupiter.api.Test;

@QuarkusTest
@TestProfile(TinyGateway.class)
class TestApiKeys {
    @Test
    void everyRouteAsksForAKey() {
        for (String authorization : new String[] {"", "Bearer ", "Bearer other", "Basic first-key", "first-key"}) {
            given().header("authorization", authorization)
                    .get("/v1/models")
                    .then()
                    .statusCode(401)
                    .header("www-authenticate", "Bearer")
                    .body("error.code", equalTo("invalid_api_key"));
        }
        given().contentType("application/json")
                .body("{}")
                .post("/v1/completions")
                .then()
                .statusCode(401);
        given().contentType("application/json")
                .body("{}")
                .post("/v1/chat/completions")
                .then()
                .statusCode(401);
        given().get("/v1/models/tiny").then().statusCode(401);
        given().get("/v1/other").then().statusCode(401);
        // However a path is spelt that leads to a resource.
        for (String path : new String[] {
            "/v1;a=b/models",
            "/v1/models;a=b",
            "//v1/models",
            "/v1//models",
            "/q/../v1/models",
            "/%76%31/models",
            "/V1/models"
        }) {
            given().urlEncodingEnabled(false).get(path).then().statusCode(401);
        }
    }

    @Test
    void eachKeyIsLetIn() {
        given().header("authorization", "Bearer " + TinyGateway.KEY)
                .get("/v1/models")
                .then()
                .statusCode(200);
        given().header("authorization", "bearer " + TinyGateway.OTHER_KEY)
                .get("/v1/models")
                .then()
                .statusCode(200);
    }

    @Test
    void withoutKeysEverybodyIsLetIn() {
        ApiKeys none = new ApiKeys(List.of());
        assertThat(none.admit(null)).isTrue();
        assertThat(none.admit("Bearer anything")).isTrue();
        assertThat(new ApiKeys(List.of("k")).admit(null)).isFalse();
    }

    @Test
    void probesNeedNone() {
        given().get("/q/health/live").then().statusCode(200);
    }
}
