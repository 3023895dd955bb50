package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.wire.Names;
import io.penstock.loader.wire.Reach;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.UnknownHostException;
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
                "https:/x",
                // The metadata services of clouds, by every way to write their address.
                "https://169.254.169.254./opc/v2/",
                "https://2852039166/opc/v2/",
                "https://0xa9fea9fe/opc/v2/",
                "https://0xa9.0xfe.0xa9.0xfe/opc/v2/",
                "https://0251.0376.0251.0376/opc/v2/",
                "https://169.254.43518/opc/v2/",
                "https://169.16689662/opc/v2/",
                "https://[::ffff:169.254.169.254]/opc/v2/",
                "https://[::ffff:a9fe:a9fe]/opc/v2/",
                "https://[::169.254.169.254]/opc/v2/",
                "https://[64:ff9b::a9fe:a9fe]/opc/v2/",
                "https://[2002:a9fe:a9fe::]/opc/v2/",
                "https://[fd00:c1::a9fe:a9fe]/opc/v2/",
                "https://[fd00:ec2::254]/latest/meta-data/",
                "https://100.100.100.200/latest/meta-data/",
                "https://192.0.0.192/latest/meta-data/",
                "https://168.63.129.16.example@169.254.169.254/",
                // This machine.
                "https://localhost/x",
                "https://LOCALHOST/x",
                "https://2130706433/x",
                "https://0x7f000001/x",
                "https://127.1/x",
                // Octal, hexadecimal, short and whole numbers: what every C library reads and not every program.
                "https://0177.0.0.1/x",
                "https://0177.0.0.01/x",
                "https://00000177.0.0.1/x",
                "https://017700000001/x",
                "https://0x7f.0.0.1/x",
                "https://0X7F.1/x",
                "https://127.0.0x1/x",
                "https://127.0.0.01/x",
                "https://127.0.0.1./x",
                "https://0/x",
                "https://00.0.0.0/x",
                "https://0x/x",
                "https://8.8.4.010/x",
                "https://8.8.1028/x",
                "https://134744072/x",
                "https://8.8.8.256/x",
                "https://8.8.8.8.8/x",
                "https://network.example.1/x",
                "https://[64:ff9b:1::808:808]/x",
                "https://[::ffff:7f00:1]/x",
                "https://[::127.0.0.1]/x",
                "https://[::ffff:0:127.0.0.1]/x",
                "https://127.0.0.1:443/x",
                "https://[::ffff:127.0.0.1]/x",
                "https://[0:0:0:0:0:0:0:1]/x",
                "https://[::]/x",
                // Networks that are nobody's or everybody's.
                "https://100.64.0.1/x",
                "https://172.31.255.255/x",
                "https://198.18.0.1/x",
                "https://224.0.0.1/x",
                "https://255.255.255.255/x",
                "https://[ff02::1]/x",
                "https://[2001::1]/x",
                // Whoever reads these otherwise than we do ends elsewhere.
                "https://8.8.8.8@127.0.0.1/x",
                "https://8.8.8.8:pw@10.0.0.1/x",
                "https://8.8.8.8%2f@127.0.0.1/x",
                "https://@127.0.0.1/x",
                "//127.0.0.1/x",
                "gopher://8.8.4.4:25/x",
                "jar:https://8.8.4.4/x!/"
            })
    void aPublicHubMayNotSendUsHere(String target) {
        assertThatThrownBy(() -> follow(PUBLIC_HOME, Reach.PUBLIC, target)).isInstanceOf(PenstockException.class);
    }

    /// As far as the connection: the rule looks at what is written, its reach at what that turns out to be.
    private static URI follow(URI home, Reach others, String location) throws UnknownHostException {
        RedirectRule rule = new RedirectRule(home, others);
        URI target = rule.check(home, location);
        assertThat(rule.reach(target).addresses(target.getHost(), Names.OF_THE_SYSTEM))
                .isNotEmpty();
        return target;
    }

    /// What a private address looks like and is none.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "https://8.8.4.4/127.0.0.1",
                "https://100.63.0.1/x",
                "https://100.128.0.1/x",
                "https://172.32.0.1/x",
                "https://192.0.1.1/x",
                "https://169.253.169.254/x",
                "https://[2606:4700::1111]/x",
                "https://[64:ff9b::808:808]/x",
                "https://[2002:808:808::1]/x"
            })
    void otherPublicAddressesAreFine(String target) throws Exception {
        assertThat(follow(PUBLIC_HOME, Reach.PUBLIC, target)).isEqualTo(URI.create(target));
    }

    @Test
    void privateTargetsAreFineWhereTheConfigurationSaysSo() throws Exception {
        String neighbour = "http://10.0.0.8/x";
        assertThat(follow(PRIVATE_HOME, Reach.ANYWHERE, neighbour)).isEqualTo(URI.create(neighbour));
        assertThatThrownBy(() -> follow(PRIVATE_HOME, Reach.PUBLIC, neighbour))
                .hasMessageContaining("10.0.0.8 is refused: it is the private address");
    }

    @Test
    void theConfiguredPlaceItselfMayBePrivate() throws Exception {
        assertThat(follow(PRIVATE_HOME, Reach.PUBLIC, "/elsewhere")).isEqualTo(PRIVATE_HOME.resolve("/elsewhere"));
    }

    @Test
    void aConfiguredAddressOfTwoMeaningsIsRefused() {
        assertThatThrownBy(() -> new RedirectRule(URI.create("https://0177.0.0.1"), Reach.ANYWHERE))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("four decimal numbers");
    }

    @Test
    void whatIsNoAddressIsRefused() {
        assertThatThrownBy(() -> follow(PUBLIC_HOME, Reach.PUBLIC, "https://[::1/x y"))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("no address");
    }

    @Test
    void homeIsSchemeHostAndPort() {
        RedirectRule rule = new RedirectRule(PRIVATE_HOME, Reach.PUBLIC);
        assertThat(rule.isHome(URI.create("http://127.0.0.1:8000/a/b"))).isTrue();
        assertThat(rule.isHome(URI.create("http://127.0.0.1:8001/a/b"))).isFalse();
        assertThat(rule.isHome(URI.create("https://127.0.0.1:8000/a/b"))).isFalse();
        assertThat(rule.isHome(URI.create("http://localhost:8000/a/b"))).isFalse();
    }
}
