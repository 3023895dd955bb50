package io.penstock.scheduler.grpc;

import io.penstock.scheduler.group.Groups;
import io.quarkus.runtime.ShutdownEvent;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.Optional;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/// What a SIGTERM does: no new work, the streams that run go on up to `quarkus.shutdown.timeout`, then the
/// rest is handed back to be tried elsewhere. Runs before the servers stop.
///
/// Ranks are not told to drain: they keep their weights and dial the next scheduler.
@Singleton
public class SchedulerShutdown {
    private static final Logger LOG = Logger.getLogger(SchedulerShutdown.class);
    private static final Duration HAND_BACK = Duration.ofSeconds(2);

    private final Groups groups;
    private final OpenStreams open;
    private final Duration limit;

    SchedulerShutdown(
            Groups groups,
            OpenStreams open,
            @ConfigProperty(name = "quarkus.shutdown.timeout") Optional<Duration> limit) {
        this.groups = groups;
        this.open = open;
        this.limit = limit.orElse(Duration.ZERO);
    }

    void stop(@Observes ShutdownEvent event) throws InterruptedException {
        groups.drain();
        if (open.open() > 0) {
            LOG.infof("draining: %d streams have %d s to finish", open.open(), limit.toSeconds());
        }
        if (!open.awaitNone(limit)) {
            LOG.warnf("%d streams are handed back unfinished", open.open());
            groups.handBack();
            open.awaitNone(HAND_BACK);
        }
    }
}
