package io.penstock.bench.tokenizers;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;

/// Hugging Face's tokenizer in a process of its own, asked for one round after the other:
/// `bench/tokenizers_peer.py`.
final class TokenizerPeer implements AutoCloseable {
    private final Process process;
    private final BufferedWriter questions;
    private final BufferedReader answers;
    private final String version;

    /// @param python with `tokenizers` and `numpy`
    /// @param texts a JSON list of strings
    TokenizerPeer(Path python, Path script, Path tokenizer, Path texts) {
        try {
            process = new ProcessBuilder(
                            List.of(python.toString(), script.toString(), tokenizer.toString(), texts.toString()))
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            questions = process.outputWriter();
            answers = process.inputReader();
            version = answer();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String version() {
        return version;
    }

    /// Encodes all texts once.
    Round round(boolean cold) {
        try {
            questions.write(cold ? "cold\n" : "warm\n");
            questions.flush();
            String[] parts = answer().split(" ");
            return new Round(Double.parseDouble(parts[0]), Long.parseLong(parts[1]));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String answer() throws IOException {
        String line = answers.readLine();
        if (line == null) {
            throw new IllegalStateException("the peer has stopped; its error stands above");
        }
        return line;
    }

    @Override
    public void close() {
        process.destroy();
    }
}
