package io.penstock.emulator;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

/// The emulator as a program: `EmulatorMain <folder> <port> <bucket>...` serves until it is stopped,
/// and prints the endpoint and the config file that a client needs.
public final class EmulatorMain {
    private EmulatorMain() {}

    static void main(String[] arguments) throws IOException, InterruptedException {
        if (arguments.length < 2) {
            System.err.println("usage: EmulatorMain <folder> <port, 0 for any> <bucket>...");
            System.exit(2);
        }
        Path folder = Path.of(arguments[0]);
        Credentials credentials = Credentials.generate();
        Path config = credentials.writeConfigFile(folder.resolve("oci"), "us-ashburn-1");
        try (Emulator emulator = Emulator.start(folder.resolve("buckets"), Integer.parseInt(arguments[1]))) {
            emulator.register(credentials);
            for (int i = 2; i < arguments.length; i++) {
                emulator.createBucket(arguments[i]);
            }
            URI endpoint = emulator.endpoint();
            System.out.println("endpoint=" + endpoint + " namespace=" + Emulator.NAMESPACE + " config=" + config);
            new CountDownLatch(1).await();
        }
    }
}
