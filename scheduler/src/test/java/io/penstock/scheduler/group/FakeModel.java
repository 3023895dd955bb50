package io.penstock.scheduler.group;

import java.util.ArrayList;
import java.util.List;

/// A model whose next token is a hash of all tokens before it: any token lost, doubled or misplaced
/// changes all that follow.
public final class FakeModel {
    public static final int VOCABULARY = 1_000;
    public static final int STOP = 7;

    private FakeModel() {}

    /// @return what a KV entry would depend on: all tokens up to and with this one
    static long extend(long hash, int token) {
        long x = hash * 0x9E3779B97F4A7C15L + token + 1;
        x ^= x >>> 29;
        x *= 0xBF58476D1CE4E5B9L;
        return x ^ (x >>> 32);
    }

    /// One token in 50 is the stop token.
    static int next(long hash) {
        int token = (int) Long.remainderUnsigned(hash, VOCABULARY);
        return token % 50 == STOP ? STOP : token;
    }

    /// What a sequence generates where nothing goes wrong; the stop token not among it.
    public static List<Integer> oracle(int[] prompt, int maxTokens, boolean stops) {
        long hash = 0;
        for (int token : prompt) {
            hash = extend(hash, token);
        }
        List<Integer> generated = new ArrayList<>();
        while (generated.size() < maxTokens) {
            int token = next(hash);
            if (stops && token == STOP) {
                return generated;
            }
            generated.add(token);
            hash = extend(hash, token);
        }
        return generated;
    }
}
