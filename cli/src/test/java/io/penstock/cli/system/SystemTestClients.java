package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/// The official `openai` Python client, as it comes, against the whole system. (The Java one is tried in
/// the gateway.)
final class SystemTestClients {
    @RegisterExtension
    static final SharedCluster CLUSTER = new SharedCluster(1, 1);

    @Test
    void theOfficialPythonClientIsServed() throws Exception {
        Path python = Clusters.cache().resolve("clients/bin/python");
        assertThat(Files.isExecutable(python))
                .as("%s: run tools/fetch.sh clients", python)
                .isTrue();
        assertThat(run(python, CLUSTER.get().gateway() + "/v1")).contains("ok: a chat has an answer");
    }

    private static String run(Path python, String baseUrl) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(python.toString(), "../tools/clients/check_openai_python.py", baseUrl)
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        return output;
    }
}
