package io.penstock.bench.weights;

import com.oracle.bmc.auth.ConfigFileAuthenticationDetailsProvider;
import com.oracle.bmc.objectstorage.ObjectStorageClient;
import com.oracle.bmc.objectstorage.requests.GetObjectRequest;
import com.oracle.bmc.objectstorage.transfer.DownloadConfiguration;
import com.oracle.bmc.objectstorage.transfer.DownloadManager;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/// One object by the OCI Java SDK's own manager of downloads: endpoint, config file, bucket, object,
/// target, parts at once.
final class SdkDownload {
    private SdkDownload() {}

    static void main(String[] arguments) throws IOException {
        int parallel = Integer.parseInt(arguments[5]);
        try (ObjectStorageClient client = ObjectStorageClient.builder()
                        .endpoint(arguments[0])
                        .build(new ConfigFileAuthenticationDetailsProvider(arguments[1], "DEFAULT"));
                ExecutorService threads = Executors.newFixedThreadPool(parallel)) {
            DownloadManager manager = new DownloadManager(
                    client,
                    DownloadConfiguration.builder()
                            .parallelDownloads(parallel)
                            .executorService(threads)
                            .build());
            manager.downloadObjectToFile(
                    GetObjectRequest.builder()
                            .namespaceName("penstock")
                            .bucketName(arguments[2])
                            .objectName(arguments[3])
                            .build(),
                    Path.of(arguments[4]).toFile());
        }
    }
}
