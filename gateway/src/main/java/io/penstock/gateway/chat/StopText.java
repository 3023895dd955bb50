package io.penstock.gateway.chat;

import java.util.List;

/// Finds the first stop text in a text that comes in pieces, and says how much of it is safe to show: what might be the
/// start of a stop text is held back. The first is the one that is complete first; of two that are, the longer. So it
/// does not matter how the text was cut into pieces.
final class StopText {
    private static final int NONE = -1;

    private final List<String> stops;
    private final StringBuilder held = new StringBuilder();
    private boolean stopped;

    /// @param stops none of them empty
    StopText(List<String> stops) {
        this.stops = List.copyOf(stops);
    }

    /// @param ends whether a stop text that ends in this piece counts
    /// @return text that may be shown
    String append(String piece, boolean ends) {
        if (stops.isEmpty()) {
            return piece;
        }
        int from = held.length();
        held.append(piece);
        if (ends) {
            for (int end = from + 1; end <= held.length(); end++) {
                int start = startOfStop(end);
                if (start != NONE) {
                    stopped = true;
                    held.setLength(start);
                    return finish();
                }
            }
        }
        int safe = held.length() - possibleStart();
        String shown = held.substring(0, safe);
        held.delete(0, safe);
        return shown;
    }

    /// Whether a stop text was found; the text before it has been returned.
    boolean stopped() {
        return stopped;
    }

    /// @return what was held back: no stop text came of it
    String finish() {
        String rest = held.toString();
        held.setLength(0);
        return rest;
    }

    private int startOfStop(int end) {
        int first = NONE;
        for (String stop : stops) {
            int start = end - stop.length();
            if (start >= 0 && matches(start, stop, stop.length()) && (first == NONE || start < first)) {
                first = start;
            }
        }
        return first;
    }

    /// Length of the longest suffix that a stop text begins with.
    private int possibleStart() {
        int longest = 0;
        for (String stop : stops) {
            for (int length = Math.min(stop.length() - 1, held.length()); length > longest; length--) {
                if (matches(held.length() - length, stop, length)) {
                    longest = length;
                    break;
                }
            }
        }
        return longest;
    }

    private boolean matches(int at, String stop, int length) {
        for (int i = 0; i < length; i++) {
            if (held.charAt(at + i) != stop.charAt(i)) {
                return false;
            }
        }
        return true;
    }
}
