package io.penstock.shard;

import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandleProxies;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import org.jboss.logging.Logger;

/// Starts the service. A rank that was told to stop and did so exits 0; the JVM by itself would say 143, as
/// it does of one that was cut down.
@QuarkusMain
public final class ShardMain {
    private ShardMain() {}

    public static void main(String[] arguments) {
        onTerminate();
        Quarkus.run(arguments);
    }

    // Through handles: javac warns of every mention of the class, and no annotation silences it.
    private static void onTerminate() {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            MethodHandle exit =
                    lookup.findStatic(Quarkus.class, "asyncExit", MethodType.methodType(void.class, int.class));
            MethodHandle stop = MethodHandles.dropArguments(MethodHandles.insertArguments(exit, 0, 0), 0, signal);
            lookup.findStatic(signal, "handle", MethodType.methodType(handler, signal, handler))
                    .invoke(
                            lookup.findConstructor(signal, MethodType.methodType(void.class, String.class))
                                    .invoke("TERM"),
                            MethodHandleProxies.asInterfaceInstance(handler, stop));
        } catch (Throwable e) {
            Logger.getLogger(ShardMain.class).warnf(e, "SIGTERM cannot be handled here: stopping will exit 143");
        }
    }
}
