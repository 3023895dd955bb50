package io.penstock.model.tokenizer;

/// Tokens of words met lately: a fixed table in which a new word takes the place of the one in its slot.
///
/// Used by many threads without a lock: entries are immutable, and a lost update costs only another encoding.
final class WordCache {
    /// Longer words are rarely met again.
    static final int LONGEST = 48;

    private static final int SLOTS = 1 << 15;

    private final Entry[] entries = new Entry[SLOTS];

    private record Entry(int hash, char[] word, int[] ids) {
        boolean is(int otherHash, char[] text, int start, int end) {
            if (hash != otherHash || word.length != end - start) {
                return false;
            }
            for (int index = 0; index < word.length; index++) {
                if (word[index] != text[start + index]) {
                    return false;
                }
            }
            return true;
        }
    }

    static int hash(char[] text, int start, int end) {
        int hash = 0;
        for (int index = start; index < end; index++) {
            hash = 31 * hash + text[index];
        }
        return hash * 0x9E3779B9;
    }

    /// @return the word's tokens, not to be changed; null if it is not here
    int[] get(int hash, char[] text, int start, int end) {
        Entry entry = entries[hash >>> 17];
        return entry != null && entry.is(hash, text, start, end) ? entry.ids : null;
    }

    void put(int hash, char[] text, int start, int end, int[] ids) {
        entries[hash >>> 17] = new Entry(hash, java.util.Arrays.copyOfRange(text, start, end), ids);
    }
}
