package io.penstock.gateway.chat;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class TestStopText {
    /// The text up to the stop text that is complete first, the longest of those complete at once.
    private static String expected(String text, List<String> stops) {
        for (int end = 1; end <= text.length(); end++) {
            String sofar = text.substring(0, end);
            int start = stops.stream()
                    .filter(sofar::endsWith)
                    .mapToInt(stop -> sofar.length() - stop.length())
                    .min()
                    .orElse(-1);
            if (start >= 0) {
                return text.substring(0, start);
            }
        }
        return text;
    }

    @Test
    void anyCutGivesTheSameTextAndLeaksNoStop() {
        Random random = new Random(7);
        for (int round = 0; round < 20_000; round++) {
            String text = random(random, random.nextInt(24));
            List<String> stops = new ArrayList<>();
            for (int i = random.nextInt(4); i >= 0; i--) {
                stops.add(random(random, 1 + random.nextInt(5)));
            }
            StopText stop = new StopText(stops);
            StringBuilder shown = new StringBuilder();
            String wanted = expected(text, stops);
            int at = 0;
            while (at < text.length() && !stop.stopped()) {
                int next = Math.min(text.length(), at + 1 + random.nextInt(6));
                shown.append(stop.append(text.substring(at, next), true));
                assertThat(wanted).as("%s of %s", stops, text).startsWith(shown);
                at = next;
            }
            if (!stop.stopped()) {
                shown.append(stop.finish());
            }
            assertThat(shown.toString()).as("%s of %s", stops, text).isEqualTo(wanted);
            assertThat(stop.stopped()).isEqualTo(!wanted.equals(text));
        }
    }

    private static String random(Random random, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append((char) ('a' + random.nextInt(3)));
        }
        return text.toString();
    }

    @Test
    void onlyWhatMayBecomeAStopIsHeldBack() {
        StopText stop = new StopText(List.of("###", "stop"));
        assertThat(stop.append("hello #", true)).isEqualTo("hello ");
        assertThat(stop.append("# world s", true)).isEqualTo("## world ");
        assertThat(stop.append("top", true)).isEmpty();
        assertThat(stop.stopped()).isTrue();
    }

    @Test
    void aStopThatDoesNotCountYetIsText() {
        StopText stop = new StopText(List.of("x"));
        assertThat(stop.append("axb", false)).isEqualTo("axb");
        assertThat(stop.append("cx", true)).isEqualTo("c");
        assertThat(stop.stopped()).isTrue();
    }
}
