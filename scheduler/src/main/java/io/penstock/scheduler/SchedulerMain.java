package io.penstock.scheduler;

import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;
import java.lang.reflect.Proxy;
import org.jboss.logging.Logger;

/// Starts the service, and makes a SIGTERM an ordinary end: exit code 0, not the JVM's 143, so that
/// whoever told it to stop can tell an obedient end from a failed one.
@QuarkusMain
public final class SchedulerMain {
    private SchedulerMain() {}

    public static void main(String[] arguments) {
        onSigterm(() -> Quarkus.asyncExit(0));
        Quarkus.run(arguments);
    }

    /// By reflection, because the compiler warns of every mention of the class and cannot be told not to.
    private static void onSigterm(Runnable action) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object proxy =
                    Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, (self, method, args) -> {
                        if (method.getName().equals("handle")) {
                            action.run();
                            return null;
                        }
                        return method.invoke(action, args);
                    });
            signal.getMethod("handle", signal, handler)
                    .invoke(null, signal.getConstructor(String.class).newInstance("TERM"), proxy);
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            Logger.getLogger(SchedulerMain.class)
                    .warnf(e, "this JVM lets nobody handle SIGTERM; it will exit with 143");
        }
    }
}
