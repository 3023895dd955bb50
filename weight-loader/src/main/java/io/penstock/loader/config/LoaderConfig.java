package io.penstock.loader.config;

import io.penstock.loader.cache.DurableTier;
import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/// Configuration of the weight-loader.
@ConfigMapping(prefix = "penstock.loader")
public interface LoaderConfig {
    /// Folder of the cache, on the volume that is to hold the models. One loader at a time writes there.
    @WithDefault("${user.home}/.cache/penstock/weights")
    Path cache();

    /// Folder with `tls.crt`, `tls.key` and `ca.crt`: calls are taken over mutual TLS only. In the clear, if not set.
    Optional<Path> tls();

    /// Most bytes in the cache; what was used longest ago makes room. 0 for as much as the volume holds.
    @WithDefault("0")
    MemorySize cacheBudget();

    /// The cache is another's, or a clone of one: nothing is written, what is complete in it is given.
    @WithDefault("false")
    boolean cacheReadOnly();

    /// How long another loader may take to let go of the cache, as the one that this one replaces does.
    @WithDefault("30s")
    Duration cachePatience();

    /// The tier behind the cache.
    Durable durable();

    /// The models that can be asked for, by their name in quotes: `penstock.loader.models."name".source`.
    Map<String, Model> models();

    /// Whether a hub or an `https://` source may redirect to private addresses, as a mirror in the cluster does. What
    /// the configuration names itself may be private in any case.
    @WithDefault("false")
    boolean privateRedirects();

    /// Access to OCI Object Storage.
    Oci oci();

    /// Access to a service that speaks S3.
    S3 s3();

    /// Access to a model hub that speaks Hugging Face's API.
    Hub hf();

    /// How bytes are fetched.
    Transfer transfer();

    /// How local checkpoints are copied into buckets.
    Push push();

    /// How failed attempts are repeated.
    Retries retries();

    /// The tier behind the cache: a block volume behind a node's own disks, that outlives them.
    interface Durable {
        /// Folder on that volume; without it there is no such tier. One loader at a time writes there.
        Optional<Path> folder();

        /// Most bytes in it; what was used longest ago makes room. 0 for as much as the volume holds.
        @WithDefault("0")
        MemorySize budget();

        /// It is another's, or a clone of one: nothing is written there.
        @WithDefault("false")
        boolean readOnly();

        /// Whether a file that is asked for is copied into the cache; else it is used where it lies.
        @WithDefault("true")
        boolean promote();

        /// When a file of the cache is copied there: `complete`, `evicted` (when the cache needs its room), `never`.
        @WithDefault("complete")
        DurableTier.Demote demote();
    }

    /// One model.
    interface Model {
        /// One of: `oci://<namespace>/<bucket>/<prefix>`; `s3://<bucket>/<prefix>`;
        /// `hf://<organisation>/<name>@<revision>/<path>`, where revision and path may be left out;
        /// `https://<host>/<path>#sha256=<hex>`; the address of a pre-authenticated request of
        /// Object Storage that allows listing; `file:///<path>`.
        String source();
    }

    /// Access to a service that speaks S3.
    interface S3 {
        /// Where it is; buckets are paths below it. OCI's is
        /// `https://<namespace>.compat.objectstorage.<region>.oraclecloud.com`.
        Optional<URI> endpoint();

        /// Its name of the region, part of every signature.
        @WithDefault("us-east-1")
        String region();

        /// Access key; OCI calls it a customer secret key's.
        Optional<String> accessKey();

        /// Secret key.
        Optional<String> secretKey();

        /// File in the form of `~/.aws/credentials` in place of the keys. It is read again when they are refused,
        /// so that keys can be renewed while the service runs.
        Optional<Path> credentialsFile();

        /// Section of that file.
        @WithDefault("default")
        String profile();
    }

    /// Access to OCI Object Storage.
    interface Oci {
        /// Who we are: `config-file`, or what the cloud says we are: `instance`, `resource`, `workload`.
        @WithDefault("config-file")
        String auth();

        /// File with the API key's names, in the form of OCI's command line.
        @WithDefault("${user.home}/.oci/config")
        Path configFile();

        /// Section of that file.
        @WithDefault("DEFAULT")
        String profile();

        /// Replaces the endpoint of the region that the file names, or that we run in.
        Optional<URI> endpoint();

        /// `instance`: replaces that region's endpoint where tokens are got; [#endpoint] is needed then, too.
        Optional<URI> federationEndpoint();

        /// `workload`: file with the pod's service account token where it is not Kubernetes' usual one.
        Optional<Path> serviceAccountToken();
    }

    /// Access to a model hub.
    interface Hub {
        /// The hub or a mirror of it, without a trailing slash.
        @WithDefault("https://huggingface.co")
        URI endpoint();

        /// Token for gated repositories; sent to the endpoint's host only.
        Optional<String> token();
    }

    /// How bytes are fetched.
    interface Transfer {
        /// Most bytes of one ranged GET.
        @WithDefault("64M")
        MemorySize partSize();

        /// Bytes of a GET while nothing is known of the rate; later it follows from [#partTime].
        @WithDefault("4M")
        MemorySize firstPart();

        /// What a GET should take at the rate of its connection: long enough that its request costs little.
        @WithDefault("1s")
        Duration partTime();

        /// Unit of the record of what is there, a power of two from 64K to 64M; a range is fetched in whole
        /// pieces.
        @WithDefault("1M")
        MemorySize pieceSize();

        /// Most ranged GETs at once, over all files. How many run is found out from the rate.
        @WithDefault("128")
        int connections();

        /// Native memory that all connections may take for what is on its way; bounds their number.
        @WithDefault("256M")
        MemorySize memory();

        /// Most bytes a second over all connections; 0 for no limit.
        @WithDefault("0")
        MemorySize bandwidth();

        /// Threads that receive and write; 0 for one a core, up to 16.
        @WithDefault("0")
        int threads();

        /// A GET that brings no byte for so long is given up and repeated.
        @WithDefault("10s")
        Duration stallTimeout();
    }

    /// How local checkpoints are copied into buckets.
    interface Push {
        /// Folder of this node below which callers may push from; without it they may not at all.
        Optional<Path> folder();

        /// Bytes of a part of a multipart upload; larger where a file would have over 10,000 of them.
        @WithDefault("64M")
        MemorySize partSize();

        /// Parts that are sent at once.
        @WithDefault("16")
        int connections();
    }

    /// How failed attempts are repeated.
    interface Retries {
        /// Attempts that bring nothing, in a row, before a call fails.
        @WithDefault("8")
        int attempts();

        /// The first wait is random up to this; it doubles from there.
        @WithDefault("200ms")
        Duration base();

        /// No wait is longer, whatever a server asks for.
        @WithDefault("15s")
        Duration longest();
    }
}
