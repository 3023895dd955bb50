package io.penstock.cli.cluster;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;

/// What the log of a service that ended says last.
public final class LogEnd {
    private static final int LINES = 15;
    private static final Pattern STACK_FRAME = Pattern.compile("^\\s+(at |\\.\\.\\. \\d+ )");

    private LogEnd() {}

    /// @return the last 15 lines without blank ones and the frames of stack traces: a trace is longer than
    ///     the reason above it
    /// @throws IOException if the log cannot be read
    public static String of(Path log) throws IOException {
        List<String> told = Files.readAllLines(log).stream()
                .filter(line -> !line.isBlank() && !STACK_FRAME.matcher(line).find())
                .toList();
        return String.join("\n", told.subList(Math.max(0, told.size() - LINES), told.size()));
    }
}
