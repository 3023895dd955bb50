package io.penstock.model.tokenizer;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;

/// Byte-level byte-pair encoding, id for id what Hugging Face's `tokenizers` gives.
///
/// In order: added tokens are found in trusted text, what lies between them is brought to normal form and cut into
/// words, and each word's UTF-8 bytes are merged. All of it in time linear in the text, but for the merging of one word
/// of n bytes, O(n log n).
final class BpeTokenizer implements Tokenizer {
    private static final byte[] NO_BYTES = {};

    private final byte[][] bytes;
    private final String[] names;
    private final int[] byteIds = new int[256];
    private final MergeTable merges;
    private final Map<String, Integer> wholeWords = new HashMap<>();
    private final AddedTokens rawTokens;
    private final AddedTokens normalizedTokens;
    private final Map<String, Integer> special = new HashMap<>();
    private final Vocabulary vocabulary;
    private final WordCache cache = new WordCache();

    /// @throws PenstockException (corrupt) if a merge names or makes a token that is not there
    BpeTokenizer(Vocabulary vocabulary) {
        // The lists of the file are not kept.
        this.vocabulary = new Vocabulary(
                List.of(),
                Set.of(),
                List.of(),
                List.of(),
                vocabulary.wholeWords(),
                vocabulary.composed(),
                vocabulary.preTokenizer(),
                vocabulary.beginOfSequence(),
                Set.copyOf(vocabulary.endOfSequence()));
        int size = vocabulary.pieces().size();
        for (AddedToken token : vocabulary.added()) {
            size = Math.max(size, token.id() + 1);
        }
        bytes = new byte[size][];
        names = new String[size];
        Map<String, Integer> ids = HashMap.newHashMap(size);
        for (int id = 0; id < size; id++) {
            String piece = id < vocabulary.pieces().size() ? vocabulary.pieces().get(id) : null;
            if (piece == null) {
                bytes[id] = NO_BYTES;
                continue;
            }
            ids.put(piece, id);
            int own = id;
            bytes[id] = ByteAlphabet.bytes(piece).orElseGet(() -> {
                names[own] = piece;
                return piece.getBytes(StandardCharsets.UTF_8);
            });
            if (vocabulary.wholeWords()) {
                wholeWords.put(latin1(bytes[id]), id);
            }
        }
        merges = merges(vocabulary.merges(), ids);
        for (int value = 0; value < 256; value++) {
            byteIds[value] = ids.getOrDefault(ByteAlphabet.spell(value), -1);
        }
        for (AddedToken token : vocabulary.added()) {
            names[token.id()] = token.content();
            bytes[token.id()] = token.special() ? NO_BYTES : token.content().getBytes(StandardCharsets.UTF_8);
            special.put(token.content(), token.id());
        }
        for (int id : vocabulary.textless()) {
            names[id] = vocabulary.pieces().get(id);
            bytes[id] = NO_BYTES;
        }
        rawTokens = tokens(vocabulary.added(), false);
        normalizedTokens = tokens(vocabulary.added(), true);
    }

    private static AddedTokens tokens(List<AddedToken> added, boolean normalized) {
        return new AddedTokens(
                added.stream().filter(token -> token.normalized() == normalized).toList());
    }

    private static MergeTable merges(List<Vocabulary.Merge> merges, Map<String, Integer> ids) {
        int[] left = new int[merges.size()];
        int[] right = new int[merges.size()];
        int[] merged = new int[merges.size()];
        for (int rank = 0; rank < merged.length; rank++) {
            Vocabulary.Merge merge = merges.get(rank);
            left[rank] = id(ids, merge.left(), rank);
            right[rank] = id(ids, merge.right(), rank);
            merged[rank] = id(ids, merge.left() + merge.right(), rank);
        }
        return new MergeTable(left, right, merged);
    }

    private static int id(Map<String, Integer> ids, String piece, int rank) {
        Integer id = ids.get(piece);
        if (id == null) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "merge %d names \"%s\", which is not in the vocabulary", rank, piece);
        }
        return id;
    }

    @Override
    public int vocabularySize() {
        return bytes.length;
    }

    @Override
    public int[] encode(PromptText prompt) {
        MarkedText text = MarkedText.of(prompt);
        TokenIds out = new TokenIds();
        int position = 0;
        for (AddedTokens.Match match : rawTokens.find(text)) {
            encodeNormalized(text.slice(position, match.start()), out);
            out.add(match.token().id());
            position = match.end();
        }
        encodeNormalized(text.slice(position, text.text().length()), out);
        return out.toArray();
    }

    private void encodeNormalized(MarkedText raw, TokenIds out) {
        MarkedText text = vocabulary.composed() ? raw.composed() : raw;
        char[] letters = text.text().toCharArray();
        int position = 0;
        for (AddedTokens.Match match : normalizedTokens.find(text)) {
            encodeWords(letters, position, match.start(), out);
            out.add(match.token().id());
            position = match.end();
        }
        encodeWords(letters, position, letters.length, out);
    }

    private void encodeWords(char[] text, int from, int to, TokenIds out) {
        vocabulary.preTokenizer().split(text, from, to, (letters, start, end) -> {
            if (end - start > WordCache.LONGEST) {
                int[] ids = encodeWord(letters, start, end);
                out.add(ids, ids.length);
                return;
            }
            int hash = WordCache.hash(letters, start, end);
            int[] ids = cache.get(hash, letters, start, end);
            if (ids == null) {
                ids = encodeWord(letters, start, end);
                cache.put(hash, letters, start, end, ids);
            }
            out.add(ids, ids.length);
        });
    }

    private int[] encodeWord(char[] text, int start, int end) {
        byte[] word = new String(text, start, end - start).getBytes(StandardCharsets.UTF_8);
        if (vocabulary.wholeWords()) {
            Integer whole = wholeWords.get(latin1(word));
            if (whole != null) {
                return new int[] {whole};
            }
        }
        int[] ids = new int[word.length];
        int count = 0;
        for (byte value : word) {
            int id = byteIds[value & 0xFF];
            // A byte that no token spells is dropped, as the reference does without an unknown token.
            if (id >= 0) {
                ids[count++] = id;
            }
        }
        return Arrays.copyOf(ids, PairMerger.merge(merges, ids, count));
    }

    private static String latin1(byte[] word) {
        return new String(word, StandardCharsets.ISO_8859_1);
    }

    /// Ids past the end have no bytes: embeddings are often padded, and a model may yield any of their rows.
    @Override
    public byte[] bytes(int id) {
        return id >= 0 && id < bytes.length ? bytes[id].clone() : NO_BYTES;
    }

    @Override
    public String piece(int id) {
        if (id < 0 || id >= bytes.length) {
            return "";
        }
        return names[id] != null ? names[id] : new String(bytes[id], StandardCharsets.UTF_8);
    }

    @Override
    public OptionalInt special(String piece) {
        Integer id = special.get(piece);
        return id == null ? OptionalInt.empty() : OptionalInt.of(id);
    }

    @Override
    public OptionalInt beginOfSequence() {
        return vocabulary.beginOfSequence();
    }

    @Override
    public Set<Integer> endOfSequence() {
        return vocabulary.endOfSequence();
    }
}
