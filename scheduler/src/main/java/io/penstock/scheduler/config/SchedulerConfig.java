package io.penstock.scheduler.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/// What an operator may set. All groups of one scheduler share these.
@ConfigMapping(prefix = "penstock.scheduler")
public interface SchedulerConfig {
    /// Folder with `tls.crt`, `tls.key` and `ca.crt`: calls are taken over mutual TLS only. In the clear, if not set.
    Optional<Path> tls();

    /// Tokens a KV block.
    @WithDefault("16")
    int blockSize();

    /// Tokens a step computes at most, prefill chunks and decode rows together. A larger value prefills
    /// faster and makes running streams wait longer for their next token. A rank with less room lowers it.
    @WithDefault("512")
    int maxStepTokens();

    /// Sequences that run at once in a group. A rank with less room lowers it.
    @WithDefault("64")
    int maxSequences();

    /// Sequences that wait in a group's queue; more are refused.
    @WithDefault("1024")
    int queueCapacity();

    /// Steps sent and not yet reported. A group of more pipeline stages has one for each stage.
    @WithDefault("2")
    int stepsInFlight();

    /// How long a step with prompts in it should take: chunks of prompts are cut to that by what steps
    /// took before. A larger value prefills faster, and makes running streams wait longer for their next
    /// token. Well below `collective-timeout`, so that peers of a slow rank do not give it up.
    @WithDefault("1s")
    Duration targetStepTime();

    /// A rank that has not reported a step this long after it could begin is cut off, and its group forms
    /// anew.
    @WithDefault("10s")
    Duration stepTimeout();

    /// A rank that waits this long for a peer asks whether it is there, and gives the step up if it is not; less than
    /// `step-timeout`.
    @WithDefault("5s")
    Duration collectiveTimeout();

    /// A rank that says nothing this long while it should load weights is cut off.
    @WithDefault("120s")
    Duration loadTimeout();

    /// Failed steps that a sequence may have been in before it is failed rather than tried again.
    @WithDefault("3")
    int maxStepFailures();

    /// Tokens kept for a client that reads slower than it is served; one more and its sequence is
    /// cancelled.
    @WithDefault("4096")
    int streamBufferTokens();

    /// After the start, a model that no shard has named yet is answered "unavailable", not "not found",
    /// for this long: its shards may be on their way.
    @WithDefault("5s")
    Duration discoveryGrace();
}
