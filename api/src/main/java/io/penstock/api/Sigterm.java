package io.penstock.api;

import java.lang.System.Logger.Level;
import java.lang.reflect.Proxy;

/// SIGTERM as an order like any other: who is told to stop and does so exits 0. By itself the JVM says
/// 143, as it does of a process that was cut down.
public final class Sigterm {
    private Sigterm() {}

    /// By reflection: the compiler warns of each mention of the signal class, and that warning cannot be
    /// switched off.
    ///
    /// @param order run for each signal; has to end the process
    public static void means(Runnable order) {
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
            System.getLogger(Sigterm.class.getName())
                    .log(Level.WARNING, "this JVM lets nobody handle SIGTERM; it will exit 143", e);
        }
    }
}
