package io.penstock.gateway;

import io.penstock.api.Sigterm;
import io.penstock.gateway.access.Drain;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;

/// Starts the gateway.
@QuarkusMain
public final class GatewayMain {
    private GatewayMain() {}

    public static void main(String[] arguments) {
        Sigterm.means(GatewayMain::stop);
        leaveAddressesToRouter();
        Quarkus.run(arguments);
    }

    /// Quarkus' own check answers without the API's envelope; the router's, which follows it, does not.
    private static void leaveAddressesToRouter() {
        System.setProperty("vertx.disableURIValidation", "true");
    }

    private static void stop() {
        Drain.begin();
        Quarkus.asyncExit(0);
    }
}
