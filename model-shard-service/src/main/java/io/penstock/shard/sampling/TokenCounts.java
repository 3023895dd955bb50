package io.penstock.shard.sampling;

/// Which tokens a sequence holds and how often each was generated: what penalties are made of. Costs two
/// ints a vocabulary entry, so only slots with penalties have one. Applying penalties visits the distinct
/// tokens only.
final class TokenCounts {
    // 0: not in the sequence; otherwise 1 + 2 * times generated.
    private final int[] occurrences;
    private final int[] distinct;
    private int distinctCount;

    TokenCounts(int vocabularySize) {
        occurrences = new int[vocabularySize];
        distinct = new int[vocabularySize];
    }

    void clear() {
        for (int i = 0; i < distinctCount; i++) {
            occurrences[distinct[i]] = 0;
        }
        distinctCount = 0;
    }

    void addPrompt(int token) {
        add(token, 0);
    }

    void addGenerated(int token) {
        add(token, 2);
    }

    private void add(int token, int increment) {
        if (occurrences[token] == 0) {
            distinct[distinctCount++] = token;
            occurrences[token] = 1;
        }
        occurrences[token] += increment;
    }

    int distinctCount() {
        return distinctCount;
    }

    /// @param i in [0, distinctCount)
    int token(int i) {
        return distinct[i];
    }

    int generated(int token) {
        return occurrences[token] >> 1;
    }
}
