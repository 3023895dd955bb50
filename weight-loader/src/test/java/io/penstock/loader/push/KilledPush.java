package io.penstock.loader.push;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.penstock.loader.source.Web;
import io.penstock.loader.transfer.LoaderMetrics;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;

/// Pushes a folder in a process of its own, to be killed: endpoint, config file, allowed folder, folder, API.
final class KilledPush {
    private KilledPush() {}

    static void main(String[] arguments) {
        try (Web web = Web.open(4, _ -> {})) {
            PushContract.push(
                            web.http(),
                            new LoaderMetrics(new SimpleMeterRegistry()),
                            URI.create(arguments[0]),
                            Path.of(arguments[1]),
                            Optional.of(Path.of(arguments[2])),
                            OpenTelemetry.noop().getTracer("test"))
                    .run(
                            Path.of(arguments[3]),
                            PushContract.Api.valueOf(arguments[4]).target("m"),
                            (_, _) -> {});
        }
    }
}
