package io.penstock.loader;

import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;
import java.lang.System.Logger.Level;
import java.lang.reflect.Proxy;

/// Starts the service. A SIGTERM is an order that it carries out and then exits 0; the JVM by itself
/// would say 143, as of a process that was cut down.
@QuarkusMain
public final class LoaderMain {
    private LoaderMain() {}

    public static void main(String[] arguments) {
        onSigterm(() -> Quarkus.asyncExit(0));
        Quarkus.run(arguments);
    }

    /// By reflection: the compiler warns of each mention of the signal class, and that warning cannot be
    /// switched off.
    private static void onSigterm(Runnable order) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object proxy =
                    Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, (_, method, given) -> {
                        if (method.getDeclaringClass() == Object.class) {
                            return method.invoke(order, given);
                        }
                        order.run();
                        return null;
                    });
            signal.getMethod("handle", signal, handler)
                    .invoke(null, signal.getConstructor(String.class).newInstance("TERM"), proxy);
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            System.getLogger(LoaderMain.class.getName())
                    .log(Level.WARNING, "this JVM lets nobody handle SIGTERM; it will exit 143", e);
        }
    }
}
