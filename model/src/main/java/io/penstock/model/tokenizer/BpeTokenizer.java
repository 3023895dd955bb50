package io.penstock.model.tokenizer;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;

/// Byte-pair encoding, id for id what Hugging Face's `tokenizers` gives of byte-level vocabularies and of
/// SentencePiece's.
///
/// In order: added tokens are found in trusted text, what lies between them is brought to normal form and cut into
/// words, and each word's bytes or characters are merged. All of it in time linear in the text, but for
/// the merging of one word of n symbols, O(n log n). No text merges into a special token.
final class BpeTokenizer implements Tokenizer {
    private static final byte[] NO_BYTES = {};

    private final byte[][] bytes;
    private final String[] names;
    private final Symbols symbols;
    private final Merges merges;
    /// Characters of ids from [#vocabularySize()] on, which are merged and are no tokens.
    private final List<Integer> parts = new ArrayList<>();

    private final boolean anyWholeWords;
    private final Map<String, Integer> wholeWords = new HashMap<>();
    private final PreTokenizer preTokenizer;
    private final AddedTokens rawTokens;
    private final AddedTokens normalizedTokens;
    private final Map<String, Integer> special = new HashMap<>();
    private final OptionalInt beginOfSequence;
    private final Set<Integer> endOfSequence;
    private final WordCache cache = new WordCache();

    /// @throws PenstockException (corrupt) if a merge names or makes a token that is not there
    BpeTokenizer(Vocabulary vocabulary) {
        preTokenizer = vocabulary.preTokenizer();
        beginOfSequence = vocabulary.beginOfSequence();
        endOfSequence = Set.copyOf(vocabulary.endOfSequence());
        List<String> pieces = vocabulary.pieces();
        Set<Integer> silent = new HashSet<>(vocabulary.textless());
        int size = pieces.size();
        for (AddedToken token : vocabulary.added()) {
            size = Math.max(size, token.id() + 1);
            if (token.special()) {
                silent.add(token.id());
            }
        }
        Map<String, Integer> all = HashMap.newHashMap(size);
        Map<String, Integer> spoken = HashMap.newHashMap(size);
        for (int id = 0; id < pieces.size(); id++) {
            if (pieces.get(id) != null) {
                all.put(pieces.get(id), id);
                if (!silent.contains(id)) {
                    spoken.put(pieces.get(id), id);
                }
            }
        }
        symbols = switch (vocabulary.form()) {
            case TextForm.Bytes(boolean composed) -> new ByteSymbols(all, composed);
            case TextForm.Pieces(TextForm.Prefix prefix) -> new PieceSymbols(spoken, prefix);
        };
        bytes = new byte[size][];
        names = new String[size];
        anyWholeWords = vocabulary.wholeWords();
        for (int id = 0; id < size; id++) {
            String piece = id < pieces.size() ? pieces.get(id) : null;
            bytes[id] = piece == null ? NO_BYTES : symbols.bytes(piece);
            // One byte is often no text, and a name is.
            names[id] = piece != null && isByte(piece) ? piece : null;
            if (piece != null && anyWholeWords && !silent.contains(id)) {
                wholeWords.put(latin1(bytes[id]), id);
            }
        }
        merges = switch (vocabulary.merging()) {
            case Vocabulary.Merging.Ranked(List<Vocabulary.Merge> listed) -> ranked(listed, all, silent);
            case Vocabulary.Merging.Scored scored -> scored(scored, spoken, (PieceSymbols) symbols);
        };
        for (AddedToken token : vocabulary.added()) {
            names[token.id()] = token.content();
            bytes[token.id()] = token.special() ? NO_BYTES : symbols.bytes(token.content());
            special.put(token.content(), token.id());
        }
        for (int id : vocabulary.textless()) {
            names[id] = pieces.get(id);
            bytes[id] = NO_BYTES;
        }
        rawTokens = new AddedTokens(
                vocabulary.added().stream().filter(token -> !token.normalized()).toList());
        normalizedTokens = new AddedTokens(vocabulary.added().stream()
                .filter(AddedToken::normalized)
                .map(this::normalized)
                .toList());
    }
    /// A token is looked for as the text it is looked for in is written.
    private AddedToken normalized(AddedToken token) {
        String content = symbols.normalized(MarkedText.of(PromptText.trusted(token.content())))
                .text();
        return new AddedToken(
                token.id(), content, token.special(), token.singleWord(), token.lstrip(), token.rstrip(), true);
    }

    private boolean isByte(String piece) {
        return symbols instanceof PieceSymbols && PieceSymbols.value(piece).isPresent();
    }

    private Merges ranked(List<Vocabulary.Merge> listed, Map<String, Integer> ids, Set<Integer> silent) {
        int[] left = new int[listed.size()];
        int[] right = new int[listed.size()];
        int[] merged = new int[listed.size()];
        int count = 0;
        for (int rank = 0; rank < listed.size(); rank++) {
            Vocabulary.Merge merge = listed.get(rank);
            String made = merge.left() + merge.right();
            left[count] = id(ids, merge.left(), rank);
            right[count] = id(ids, merge.right(), rank);
            merged[count] = id(ids, made, rank);
            // What stands for no text, or for a byte, is never made of the characters that spell its name.
            if (!silent.contains(merged[count]) && !isByte(made)) {
                count++;
            }
        }
        return new MergeTable(Arrays.copyOf(left, count), Arrays.copyOf(right, count), Arrays.copyOf(merged, count));
    }

    private static int id(Map<String, Integer> ids, String piece, int rank) {
        Integer id = ids.get(piece);
        if (id == null) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "merge %d names \"%s\", which is not in the vocabulary", rank, piece);
        }
        return id;
    }

    private Merges scored(Vocabulary.Merging.Scored scored, Map<String, Integer> spoken, PieceSymbols characters) {
        List<byte[]> spellings = new ArrayList<>(Collections.nCopies(bytes.length, null));
        spoken.forEach((piece, id) -> {
            if (!scored.unmade().contains(id) && !isByte(piece)) {
                spellings.set(id, piece.getBytes(StandardCharsets.UTF_8));
                piece.codePoints()
                        .filter(codePoint -> !characters.has(codePoint))
                        .forEach(codePoint -> {
                            characters.put(codePoint, bytes.length + parts.size());
                            parts.add(codePoint);
                        });
            }
        });
        for (int codePoint : parts) {
            spellings.add(Character.toString(codePoint).getBytes(StandardCharsets.UTF_8));
        }
        float[] scores = Arrays.copyOf(scored.scores(), bytes.length);
        try {
            return new ScoredPieces(spellings.toArray(byte[][]::new), scores);
        } catch (IllegalArgumentException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s", e.getMessage());
        }
    }

    @Override
    public int vocabularySize() {
        return bytes.length;
    }

    @Override
    public int[] encode(PromptText prompt) {
        MarkedText text = MarkedText.of(prompt);
        TokenIds out = new TokenIds(64);
        int position = 0;
        for (AddedTokens.Match match : rawTokens.find(text)) {
            encodeNormalized(text.slice(position, match.start()), position == 0, out);
            out.add(match.token().id());
            position = match.end();
        }
        encodeNormalized(text.slice(position, text.text().length()), position == 0, out);
        return out.toArray();
    }

    private void encodeNormalized(MarkedText raw, boolean first, TokenIds out) {
        MarkedText text = symbols.normalized(raw);
        int position = 0;
        for (AddedTokens.Match match : normalizedTokens.find(text)) {
            encodeWords(text.slice(position, match.start()), first && position == 0, out);
            out.add(match.token().id());
            position = match.end();
        }
        encodeWords(text.slice(position, text.text().length()), first && position == 0, out);
    }

    private void encodeWords(MarkedText section, boolean first, TokenIds out) {
        if (section.text().isEmpty()) {
            return;
        }
        char[] text = symbols.begun(section, first).text().toCharArray();
        preTokenizer.split(text, 0, text.length, (letters, start, end) -> {
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
        if (anyWholeWords) {
            byte[] word = new String(text, start, end - start).getBytes(StandardCharsets.UTF_8);
            Integer whole = wholeWords.get(latin1(word));
            if (whole != null) {
                return new int[] {whole};
            }
        }
        TokenIds word = symbols.of(text, start, end);
        word.merge(merges);
        int[] ids = word.toArray();
        return parts.isEmpty() ? ids : withoutParts(ids);
    }

    /// @return the bytes of characters that merged into nothing in their place
    private int[] withoutParts(int[] ids) {
        TokenIds out = new TokenIds(ids.length);
        for (int id : ids) {
            if (id < bytes.length) {
                out.add(id);
            } else {
                ((PieceSymbols) symbols).spell(parts.get(id - bytes.length), out);
            }
        }
        return out.toArray();
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
        return beginOfSequence;
    }

    @Override
    public Set<Integer> endOfSequence() {
        return endOfSequence;
    }
}
