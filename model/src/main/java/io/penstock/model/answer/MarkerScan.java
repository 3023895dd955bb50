package io.penstock.model.answer;

import java.util.List;

/// Looks for one of a few markers, character by character. Each begins with a character that it has nowhere else, so
/// what fails to become a marker holds no beginning of another, save in its last character.
final class MarkerScan {
    private final List<String> markers;
    private final StringBuilder held = new StringBuilder();

    MarkerScan(String... markers) {
        this.markers = List.of(markers);
        for (String marker : markers) {
            for (String other : markers) {
                if (other.indexOf(marker.charAt(0), 1) >= 0 || (other.startsWith(marker) && !other.equals(marker))) {
                    throw new IllegalArgumentException(marker + " within " + other);
                }
            }
        }
    }

    enum Found {
        /// The character may belong to a marker and is held.
        HELD,
        /// It completed a marker.
        MARKER,
        /// It belongs to none. What was held before it is text, and in [#takeHeld].
        TEXT
    }

    /// @param c after [Found#TEXT] it is not consumed if anything was held: it may begin a marker of its own
    Found accept(char c) {
        held.append(c);
        for (String marker : markers) {
            if (held.length() <= marker.length() && marker.startsWith(held.toString())) {
                return held.length() == marker.length() ? Found.MARKER : Found.HELD;
            }
        }
        held.setLength(held.length() - 1);
        return Found.TEXT;
    }

    boolean holds() {
        return !held.isEmpty();
    }

    /// @return what is held, which is forgotten
    String takeHeld() {
        String text = held.toString();
        held.setLength(0);
        return text;
    }
}
