package io.penstock.loader;

import io.penstock.api.Sigterm;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;

/// Starts the service.
@QuarkusMain
public final class LoaderMain {
    private LoaderMain() {}

    public static void main(String[] arguments) {
        Sigterm.means(() -> Quarkus.asyncExit(0));
        Quarkus.run(arguments);
    }
}
