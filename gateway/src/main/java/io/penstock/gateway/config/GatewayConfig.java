package io.penstock.gateway.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// What an operator sets. Addresses of schedulers and one source of tokenizers are all a gateway needs.
@ConfigMapping(prefix = "penstock.gateway")
public interface GatewayConfig {
    /// Schedulers, each as `host:port`. What they serve is learned from them.
    @WithDefault("localhost:9081")
    List<HostPort> schedulers();

    /// Weight-loader that hands out tokenizers and chat templates, as `host:port`.
    Optional<HostPort> loader();

    /// A GGUF file or a Hugging Face folder on this machine, whose tokenizer and template serve every model; instead
    /// of a loader.
    Optional<Path> checkpoint();

    /// Folder with `tls.crt`, `tls.key` and `ca.crt`: schedulers and the loader are dialled with
    /// mutual TLS. Not for the gateway's own callers. In the clear, if not set.
    Optional<Path> tls();

    /// Keys that callers present as `Authorization: Bearer <key>`. None: every caller is let in.
    Optional<List<String>> apiKeys();

    /// How calls of functions are marked in answers: `auto`, `none`, `hermes`, `llama3_json`, `deepseek_v3`.
    @WithDefault("auto")
    ToolCallParser toolCallParser();

    /// How thoughts are marked in answers: `auto`, `none`, `deepseek_r1`.
    @WithDefault("auto")
    ReasoningParser reasoningParser();

    /// Longest request body.
    @WithDefault("10M")
    MemorySize maxBody();

    /// How long a request line with its headers may take to come in, from its first byte; the first
    /// of a connection, from the connection's start. On HTTP/2, any frame. On gRPC, how long a client
    /// may be silent before it is asked whether it is there, and then has to answer.
    @WithDefault("30s")
    Duration headTimeout();

    /// How long a body may take to come in; meanwhile its request counts among those in hand.
    @WithDefault("30s")
    Duration bodyTimeout();

    /// Longest request line and headers together.
    @WithDefault("16K")
    MemorySize maxHeader();

    /// Requests in hand at once, over all protocols; one more is told to come back later.
    @WithDefault("1024")
    int maxConcurrent();

    /// Memory that request bodies, and what is made of them, may take at once; one more body is told to come back
    /// later. A third of the heap, if not set.
    Optional<MemorySize> maxBodiesHeld();

    /// How long a request waits for a lost scheduler, or for another, before it fails.
    @WithDefault("60s")
    Duration resumeTimeout();

    /// How long a new request waits for a scheduler where none serves its model now. Zero: it is told to come back.
    @WithDefault("0s")
    Duration admissionTimeout();

    /// A reader that lets its stream stand still for this long is cut off.
    @WithDefault("120s")
    Duration stallTimeout();

    /// A stream on which nothing was sent for this long gets a comment, so that no proxy or client gives it up.
    @WithDefault("10s")
    Duration keepAlive();
}
