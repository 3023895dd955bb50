package io.penstock.loader.config;

import io.micrometer.core.instrument.MeterRegistry;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.catalog.Catalog;
import io.penstock.loader.catalog.SourceAddress;
import io.penstock.loader.push.Push;
import io.penstock.loader.push.PushSettings;
import io.penstock.loader.source.FileSource;
import io.penstock.loader.source.HttpsSource;
import io.penstock.loader.source.HubSource;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.OciSource;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Retry;
import io.penstock.loader.source.S3Account;
import io.penstock.loader.source.S3Source;
import io.penstock.loader.source.Source;
import io.penstock.loader.transfer.LoaderMetrics;
import io.penstock.loader.transfer.TransferSettings;
import io.penstock.loader.transfer.Transfers;
import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.Throttle;
import io.penstock.loader.wire.WireClient;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.quarkus.runtime.StartupEvent;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import jakarta.enterprise.inject.Disposes;
import jakarta.enterprise.inject.Produces;
import jakarta.inject.Singleton;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// Puts the parts together as the configuration says; closes them in the other order.
@ApplicationScoped
public class LoaderParts {
    private static final Logger LOG = System.getLogger(LoaderParts.class.getName());
    private static final int MAX_THREADS = 16;
    /// What was sent lies in buffers on its way; its answer takes longer than the next bytes of a GET.
    private static final int ANSWER_PATIENCE = 3;

    /// Makes the parts before the service says that it has started: a cache in use or a source that
    /// cannot be read ends the process. Without this the framework would log that and go on without its
    /// gRPC server.
    void start(@Observes StartupEvent event, Catalog catalog, Transfers transfers) {
        LOG.log(Level.INFO, "models: {0}", catalog.models());
    }

    @Produces
    @Singleton
    CacheDirectory cache(LoaderConfig config) {
        return new CacheDirectory(
                config.cache(),
                Math.toIntExact(config.transfer().pieceSize().asLongValue()),
                config.cacheReadOnly(),
                config.cachePatience());
    }

    @Produces
    @Singleton
    SnapshotStore store(CacheDirectory cache) {
        return new SnapshotStore(cache);
    }

    void close(@Disposes CacheDirectory cache) {
        cache.close();
    }

    @Produces
    @Singleton
    LoaderMetrics metrics(MeterRegistry registry) {
        return new LoaderMetrics(registry);
    }

    @Produces
    @Singleton
    RemoteHttp http(LoaderConfig config, LoaderMetrics metrics, WireClient wire) {
        LoaderConfig.Retries retries = config.retries();
        return new RemoteHttp(
                new Retry(retries.attempts(), retries.base(), retries.longest(), metrics::retry),
                wire,
                config.privateRedirects() ? Reach.ANYWHERE : Reach.PUBLIC);
    }

    void close(@Disposes RemoteHttp http) {
        http.close();
    }

    @Produces
    @Singleton
    WireClient wire(LoaderConfig config) {
        int threads = config.transfer().threads();
        return new WireClient(
                threads > 0
                        ? threads
                        : Math.min(MAX_THREADS, Runtime.getRuntime().availableProcessors()),
                new Throttle(config.transfer().bandwidth().asLongValue()));
    }

    void close(@Disposes WireClient wire) {
        wire.close();
    }

    @Produces
    @Singleton
    Transfers transfers(
            CacheDirectory cache,
            SnapshotStore store,
            RemoteHttp http,
            WireClient wire,
            LoaderConfig config,
            LoaderMetrics metrics,
            Tracer tracer) {
        LoaderConfig.Transfer transfer = config.transfer();
        TransferSettings settings = new TransferSettings(
                transfer.firstPart().asLongValue(),
                transfer.partSize().asLongValue(),
                transfer.partTime(),
                transfer.connections(),
                transfer.memory().asLongValue(),
                transfer.stallTimeout());
        Eviction eviction = new Eviction(cache, store, config.cacheBudget().asLongValue());
        return new Transfers(cache, eviction, http, wire, settings, metrics, tracer, durable(config));
    }

    private static Optional<DurableTier> durable(LoaderConfig config) {
        LoaderConfig.Durable durable = config.durable();
        return durable.folder().map(folder -> {
            CacheDirectory directory = new CacheDirectory(
                    folder,
                    Math.toIntExact(config.transfer().pieceSize().asLongValue()),
                    durable.readOnly(),
                    config.cachePatience());
            Eviction eviction = new Eviction(
                    directory, new SnapshotStore(directory), durable.budget().asLongValue());
            return new DurableTier(directory, eviction, new DurableTier.Policy(durable.promote(), durable.demote()));
        });
    }

    void close(@Disposes Transfers transfers) {
        transfers.close();
    }

    /// One for all that goes to and from OCI.
    @Produces
    @Singleton
    Renewable<OciAccount> oci(LoaderConfig config) {
        return new Renewable<>(() -> account(config.oci()));
    }

    /// One for all that goes to and from a service that speaks S3.
    @Produces
    @Singleton
    Renewable<S3Account> s3(LoaderConfig config) {
        return new Renewable<>(() -> account(config.s3()));
    }

    @Produces
    @Singleton
    Push push(
            LoaderConfig config,
            RemoteHttp http,
            Renewable<OciAccount> oci,
            Renewable<S3Account> s3,
            LoaderMetrics metrics,
            Tracer tracer) {
        PushSettings settings = new PushSettings(
                config.push().folder(),
                config.push().partSize().asLongValue(),
                Math.toIntExact(config.transfer().pieceSize().asLongValue()),
                config.push().connections(),
                config.transfer().stallTimeout().multipliedBy(ANSWER_PATIENCE));
        return new Push(http, oci, s3, settings, metrics, tracer);
    }

    @Produces
    @Singleton
    Catalog catalog(
            LoaderConfig config,
            RemoteHttp http,
            SnapshotStore store,
            Renewable<OciAccount> oci,
            Renewable<S3Account> s3) {
        Map<String, Source> sources = new HashMap<>();
        config.models().forEach((model, entry) -> sources.put(model, source(model, entry, config, http, oci, s3)));
        return new Catalog(sources, store);
    }

    private static Source source(
            String model,
            LoaderConfig.Model entry,
            LoaderConfig config,
            RemoteHttp http,
            Renewable<OciAccount> oci,
            Renewable<S3Account> s3) {
        return switch (SourceAddress.parse(model, entry.source())) {
            case SourceAddress.Oci(var namespace, var bucket, var prefix) ->
                new OciSource(http, oci, namespace, bucket, prefix);
            case SourceAddress.Preauthenticated(var granted, var namespace, var bucket, var prefix) ->
                new OciSource(
                        http, new Renewable<>(() -> OciAccount.preauthenticated(granted)), namespace, bucket, prefix);
            case SourceAddress.S3(var bucket, var prefix) -> new S3Source(http, s3, bucket, prefix);
            case SourceAddress.Hub(var repository, var revision, var path) ->
                new HubSource(http, config.hf().endpoint(), config.hf().token(), repository, revision, path);
            case SourceAddress.Https(var address, var checksum) -> new HttpsSource(http, address, checksum);
            case SourceAddress.Local(var path) -> new FileSource(path);
        };
    }

    private static OciAccount account(LoaderConfig.Oci config) {
        OciAccount.Places places =
                new OciAccount.Places(config.endpoint(), config.federationEndpoint(), config.serviceAccountToken());
        return switch (config.auth()) {
            case "config-file" -> OciAccount.read(config.configFile(), config.profile(), config.endpoint());
            case "instance" -> OciAccount.principal(OciAccount.Principal.INSTANCE, places);
            case "resource" -> OciAccount.principal(OciAccount.Principal.RESOURCE, places);
            case "workload" -> OciAccount.principal(OciAccount.Principal.WORKLOAD, places);
            default ->
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "penstock.loader.oci.auth is config-file, instance, resource or workload, not '%s'",
                        config.auth());
        };
    }

    private static S3Account account(LoaderConfig.S3 config) {
        if (config.endpoint().isPresent() && config.credentialsFile().isPresent()) {
            return S3Account.read(
                    config.endpoint().get(),
                    config.region(),
                    config.credentialsFile().get(),
                    config.profile());
        }
        if (config.endpoint().isEmpty()
                || config.accessKey().isEmpty()
                || config.secretKey().isEmpty()) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    "an s3:// source needs penstock.loader.s3.endpoint, and access-key and secret-key or credentials-file");
        }
        return new S3Account(
                config.endpoint().get(),
                config.region(),
                config.accessKey().get(),
                config.secretKey().get());
    }
}
