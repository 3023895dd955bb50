package io.penstock.shard.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class TestEndpoint {
    @Test
    void readsHostAndPort() {
        assertThat(Endpoint.parse("k", "scheduler-0.scheduler:9081"))
                .isEqualTo(new Endpoint("scheduler-0.scheduler", 9_081));
        assertThat(Endpoint.parse("k", " 10.0.0.7:1 ")).isEqualTo(new Endpoint("10.0.0.7", 1));
        assertThat(Endpoint.parse("k", "[fd00::1]:9081")).isEqualTo(new Endpoint("fd00::1", 9_081));
        assertThat(Endpoint.parse("k", "[fd00::1]:9081")).hasToString("[fd00::1]:9081");
    }

    @Test
    void saysWhichKeyIsWrongAndHow() {
        for (String bad : new String[] {
            "", "host", "host:", ":9081", "host:0", "host:65536", "host:x", "fd00::1", "host:-1", "host:99999999999"
        }) {
            assertThatThrownBy(() -> Endpoint.parse("penstock.shard.scheduler", bad))
                    .as("'%s'", bad)
                    .hasMessageStartingWith("penstock.shard.scheduler is '" + bad + "', must be host:port");
        }
    }
}
