package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import java.net.URI;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A hub must not be able to make this service read addresses inside the cluster, nor learn our token for
/// another host.
class TestRedirectRule {
    /// A public address in digits, so that no test asks a name server.
    private static final URI PUBLIC_HOME = URI.create("https://8.8.8.8");

    private static final URI PRIVATE_HOME = URI.create("http://127.0.0.1:8000");

    @ParameterizedTest
    @ValueSource(
            strings = {
                "http://8.8.4.4/x",
                "https://169.254.169.254/opc/v2",
                "https://127.0.0.1/x",
                "https://[::1]/x",
                "https://10.0.0.8/x",
                "https://192.168.1.1/x",
                "https://172.16.0.1/x",
                "https://0.0.0.0/x",
                "https://[fd00::1]/x",
                "https://[fe80::1]/x",
                "https://[::ffff:10.0.0.8]/x",
                "https://user@8.8.4.4/x",
                "file:///etc/passwd",
                "ftp://8.8.4.4/x",
                "https:/x"
            })
    void aPublicHubMayNotSendUsHere(String target) {
        RedirectRule rule = new RedirectRule(PUBLIC_HOME);
        assertThatThrownBy(() -> rule.check(PUBLIC_HOME, URI.create(target))).isInstanceOf(PenstockException.class);
    }

    @Test
    void publicTargetsAndPrivateMirrorsAreFine() {
        URI network = URI.create("https://8.8.4.4/signed?x=1");
        assertThat(new RedirectRule(PUBLIC_HOME).check(PUBLIC_HOME, network)).isEqualTo(network);
        URI neighbour = URI.create("http://10.0.0.8/x");
        assertThat(new RedirectRule(PRIVATE_HOME).check(PRIVATE_HOME, neighbour))
                .isEqualTo(neighbour);
    }

    @Test
    void homeIsSchemeHostAndPort() {
        RedirectRule rule = new RedirectRule(PRIVATE_HOME);
        assertThat(rule.isHome(URI.create("http://127.0.0.1:8000/a/b"))).isTrue();
        assertThat(rule.isHome(URI.create("http://127.0.0.1:8001/a/b"))).isFalse();
        assertThat(rule.isHome(URI.create("https://127.0.0.1:8000/a/b"))).isFalse();
        assertThat(rule.isHome(URI.create("http://localhost:8000/a/b"))).isFalse();
    }
}
