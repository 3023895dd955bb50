package io.penstock.cli.cluster;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// How a child is tied to this process, where the system has the programs for it: it gets SIGTERM when
/// this process dies, even outright, so that no service is left behind; and it is out of reach of a
/// Ctrl-C at the terminal, so that services are stopped by us, in order.
///
/// The kernel counts the *thread* that started the child as its parent, so that must be a thread that
/// lasts.
final class Leash {
    private Leash() {}

    /// @return a command that starts what follows it
    static List<String> prefix() {
        List<String> prefix = new ArrayList<>();
        program("setpriv").ifPresent(path -> prefix.addAll(List.of(path, "--pdeathsig", "TERM", "--")));
        program("setsid").ifPresent(prefix::add);
        return prefix;
    }

    private static Optional<String> program(String name) {
        return Stream.of("/usr/bin/", "/bin/")
                .map(folder -> folder + name)
                .filter(path -> Files.isExecutable(Path.of(path)))
                .findFirst();
    }
}
