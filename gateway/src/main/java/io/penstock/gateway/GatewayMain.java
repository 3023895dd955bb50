package io.penstock.gateway;

import io.penstock.gateway.access.Drain;
import io.quarkus.arc.Arc;
import io.quarkus.arc.ArcContainer;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import org.jboss.logging.Logger;

/// Starts the gateway. A SIGTERM is an order like any other here: it ends with exit code 0 once it is carried out.
@QuarkusMain
public final class GatewayMain {
    private static final Logger LOG = Logger.getLogger(GatewayMain.class);

    private GatewayMain() {}

    public static void main(String[] arguments) {
        handleSigterm();
        leaveAddressesToRouter();
        Quarkus.run(arguments);
    }

    /// Quarkus' own check answers without the API's envelope; the router's, which follows it, does not.
    private static void leaveAddressesToRouter() {
        System.setProperty("vertx.disableURIValidation", "true");
    }

    private static void stop() {
        try {
            ArcContainer container = Arc.container();
            if (container != null) {
                container.instance(Drain.class).get().begin();
            }
        } finally {
            Quarkus.asyncExit(0);
        }
    }

    /// By name: the compiler warns of the class wherever it is mentioned, and that cannot be switched off.
    @SuppressWarnings("ReferenceEquality") // A proxy equals itself alone.
    private static void handleSigterm() {
        InvocationHandler handler = (proxy, method, arguments) -> switch (method.getName()) {
            case "handle" -> {
                stop();
                yield null;
            }
            case "equals" -> proxy == arguments[0];
            case "hashCode" -> System.identityHashCode(proxy);
            default -> "handler of SIGTERM";
        };
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handles = Class.forName("sun.misc.SignalHandler");
            Object proxy =
                    Proxy.newProxyInstance(GatewayMain.class.getClassLoader(), new Class<?>[] {handles}, handler);
            signal.getMethod("handle", signal, handles)
                    .invoke(null, signal.getConstructor(String.class).newInstance("TERM"), proxy);
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            LOG.warn("SIGTERM cannot be handled on this JVM; the exit code will be 143", e);
        }
    }
}
