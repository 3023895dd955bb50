package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.LoggedErrors;
import io.penstock.gateway.fake.Script;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/// What tests of hostile clients have in common: a scheduler that says "a" to whatever gets that far, and that
/// nothing a client sends is logged as an error of ours.
abstract class HostileClients {
    final FakeScheduler scheduler = FakeSchedulers.first();
    final LoggedErrors errors = new LoggedErrors();

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
        scheduler.plays(Script.saying("a"));
    }

    @AfterEach
    void nothingIsLogged() {
        errors.close();
        assertThat(errors.all()).isEmpty();
    }
}
