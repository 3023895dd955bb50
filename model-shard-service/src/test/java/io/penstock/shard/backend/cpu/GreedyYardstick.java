package io.penstock.shard.backend.cpu;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// What float32 arithmetic generates for some chat prompts, from the resource `greedy-f32.txt`.
///
/// @param gaps between the two best log-probabilities where each token was chosen
record GreedyYardstick(String name, int[] prompt, int[] greedy, double[] gaps) {
    static List<GreedyYardstick> all() {
        try (InputStream in = GreedyYardstick.class.getResourceAsStream("greedy-f32.txt")) {
            String[] lines = new String(in.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> !line.startsWith("#"))
                    .toArray(String[]::new);
            List<GreedyYardstick> all = new ArrayList<>();
            for (int i = 0; i + 3 < lines.length; i += 4) {
                double[] gaps = Arrays.stream(lines[i + 3].split(" "))
                        .mapToDouble(Double::parseDouble)
                        .toArray();
                all.add(new GreedyYardstick(lines[i], ids(lines[i + 1]), ids(lines[i + 2]), gaps));
            }
            return all;
        } catch (IOException e) {
            throw new IllegalStateException("greedy-f32.txt cannot be read", e);
        }
    }

    private static int[] ids(String line) {
        return Arrays.stream(line.split(" ")).mapToInt(Integer::parseInt).toArray();
    }
}
