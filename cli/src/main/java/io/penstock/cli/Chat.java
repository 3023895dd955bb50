package io.penstock.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.net.URI;
import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// A chat in the terminal against a running gateway. Reads a line, streams the answer, keeps the
/// conversation.
@Command(
        name = "chat",
        description = "Chats in the terminal with a running gateway. /new forgets the conversation, /exit leaves.",
        mixinStandardHelpOptions = true)
final class Chat implements Callable<Integer> {
    @Option(names = "--url", description = "The gateway (default: ${DEFAULT-VALUE}).")
    private URI url = URI.create("http://localhost:8080");

    @Option(names = "--model", description = "Model to ask (default: the first one listed).")
    private String model;

    @Option(names = "--system", description = "System message.")
    private String system;

    @Option(names = "--max-tokens", description = "Longest answer (default: ${DEFAULT-VALUE}).")
    private int maxTokens = 1024;

    @Option(names = "--temperature", description = "0 always takes the likeliest token (default: ${DEFAULT-VALUE}).")
    private float temperature = 0.7f;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        ChatStream stream = new ChatStream(url);
        String name = model == null ? stream.firstModel() : model;
        out.printf("%s at %s; /new forgets the conversation, /exit leaves%n", name, url);
        List<ChatStream.Message> messages = opening();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, Charset.defaultCharset()));
        while (true) {
            out.print("> ");
            out.flush();
            String line = in.readLine();
            if (line == null || line.strip().equals("/exit")) {
                return 0;
            }
            if (line.strip().equals("/new")) {
                messages = opening();
            } else if (!line.isBlank()) {
                answer(stream, name, messages, line, out);
            }
        }
    }

    private List<ChatStream.Message> opening() {
        List<ChatStream.Message> messages = new ArrayList<>();
        if (system != null) {
            messages.add(new ChatStream.Message("system", system));
        }
        return messages;
    }

    /// A failed turn is reported and taken back; the conversation goes on.
    private void answer(
            ChatStream stream, String name, List<ChatStream.Message> messages, String question, PrintWriter out) {
        messages.add(new ChatStream.Message("user", question));
        try {
            ChatStream.Answer answer = stream.ask(name, messages, maxTokens, temperature, piece -> {
                out.print(piece);
                out.flush();
            });
            out.println();
            messages.add(new ChatStream.Message("assistant", answer.text()));
        } catch (CommandFailure e) {
            messages.removeLast();
            out.println();
            out.println(e.getMessage());
        }
    }
}
