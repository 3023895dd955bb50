package io.penstock.gateway.dispatch;

import io.grpc.ChannelCredentials;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.penstock.api.MutualTls;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.gateway.config.GatewayConfig;
import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import jakarta.annotation.Priority;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Event;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import jakarta.interceptor.Interceptor;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/// The schedulers of the configuration: what they serve, which is the least loaded, and streams of tokens from them.
@ApplicationScoped
public class Schedulers {
    /// Something that a scheduler serves, or whether it is there, has changed.
    public record Changed() {}

    private final List<SchedulerLink> links;
    private final DispatchTimer timer;
    private final Waits waits;
    private final Counter resumptions;

    @Inject
    public Schedulers(GatewayConfig config, Event<Changed> changes, MeterRegistry meters) {
        timer = new DispatchTimer();
        waits = new Waits(
                config.admissionTimeout().toNanos(), config.resumeTimeout().toNanos());
        resumptions = Counter.builder("penstock.gateway.resumptions")
                .description("Sequences submitted again because their scheduler was lost")
                .register(meters);
        ChannelCredentials credentials = MutualTls.dialling(config.tls());
        links = config.schedulers().stream()
                .distinct()
                .map(address -> new SchedulerLink(address, credentials, timer, () -> changes.fire(new Changed())))
                .toList();
    }

    void start(@Observes StartupEvent started) {
        links.forEach(SchedulerLink::watch);
    }

    // After the streams that run have had their time.
    void stop(@Observes @Priority(Interceptor.Priority.PLATFORM_AFTER) ShutdownEvent stopping) {
        links.forEach(SchedulerLink::close);
        timer.close();
    }

    /// Every group that any scheduler reports, whatever its state.
    public List<GroupStatus> groups() {
        return links.stream()
                .flatMap(link -> link.status().getGroupsList().stream())
                .toList();
    }

    /// Whether a sequence of this model would be taken now.
    public boolean serves(String model, String revision) {
        return pick(model, revision, null).isPresent();
    }

    /// @return age of the timer's last heartbeat; grows when resumption has come to a halt
    public long nanosSinceBeat() {
        return timer.nanosSinceBeat();
    }

    /// Sends a sequence to the least loaded scheduler, and to another (or to the same, when it is back) with the
    /// tokens so far whenever that one is lost.
    ///
    /// @param sequence number that its events carry
    /// @param request without resume tokens; its seed is set, so that a resubmission continues the same draw
    /// @param events called by one thread at a time, must not block
    public SequenceStream open(int sequence, GenerateRequest request, Consumer<SequenceEvent> events) {
        SequenceStream stream = new SequenceStream(sequence, request, this, waits, timer, events);
        stream.start();
        return stream;
    }

    /// @param avoid a link that just failed, taken only where there is no other; null: none
    Optional<SchedulerLink> pick(String model, String revision, SchedulerLink avoid) {
        SchedulerLink best = null;
        int bestLoad = Integer.MAX_VALUE;
        for (SchedulerLink link : links) {
            Optional<GroupStatus> group = link.serving(model, revision);
            if (group.isPresent()) {
                int load = link == avoid ? Integer.MAX_VALUE - 1 : link.load(group.get());
                if (load < bestLoad) {
                    best = link;
                    bestLoad = load;
                }
            }
        }
        return Optional.ofNullable(best);
    }

    /// Why nothing will serve the model until somebody changes its set-up.
    ///
    /// @return empty where some group of it may yet come
    Optional<String> refusal(String model, String revision) {
        List<GroupStatus> groups =
                links.stream().flatMap(link -> link.groups(model, revision)).toList();
        return groups.stream().allMatch(group -> group.getState() == GroupState.GROUP_STATE_REFUSED)
                ? groups.stream().map(GroupStatus::getRefusal).findFirst()
                : Optional.empty();
    }

    void resumed() {
        resumptions.increment();
    }

    /// How long a sequence waits for a scheduler: before its first submission, and after a loss.
    record Waits(long admissionNanos, long resumeNanos) {}
}
