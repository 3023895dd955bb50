package io.penstock.model.tokenizer;

import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.GgufMetadata;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// The tokenizer that a GGUF file carries, as its `tokenizer.ggml.*` keys give it.
///
/// @param model `tokenizer.ggml.model`; "gpt2" is byte-level BPE, "llama" SentencePiece's BPE
/// @param pre `tokenizer.ggml.pre`, the name of how text is cut into words; only for "gpt2"
/// @param tokens spelling of each id
/// @param scores of each token, the highest merges first; only for "llama"
/// @param types kind of each token, as llama.cpp numbers them
/// @param merges "left right", by rank; only for "gpt2"
/// @param addsSpace `add_space_prefix`: what lies between special tokens begins with a space; only for
///     "llama"
/// @param begin `bos_token_id`
/// @param addsBegin `add_bos_token`
/// @param ends `eos_token_id`, `eot_token_id`, `eom_token_id`: those that are there
public record GgufVocabulary(
        String model,
        String pre,
        List<String> tokens,
        List<Float> scores,
        List<Integer> types,
        List<String> merges,
        boolean addsSpace,
        OptionalInt begin,
        boolean addsBegin,
        Set<Integer> ends) {
    private static final String BYTE_LEVEL = "gpt2";
    private static final String SENTENCE_PIECE = "llama";

    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;

    private static final String QWEN2 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String DEEPSEEK3 = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
            + "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    /// Names of control tokens that end a turn or a text, for files whose keys name only one of several.
    private static final Set<String> END_NAMES = Set.of(
            "<|im_end|>",
            "<|endoftext|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|end_of_text|>",
            "<|end|>",
            "<｜end▁of▁sentence｜>");

    /// @param patterns one after the other
    private record Style(List<String> patterns, boolean digits, boolean wholeWords, boolean composed) {
        PreTokenizer preTokenizer() {
            List<SplitPattern> steps = new ArrayList<>();
            if (digits) {
                steps.add(PreTokenizer.digits(true));
            }
            patterns.forEach(pattern -> steps.add(SplitPatternParser.parse(pattern)));
            return new PreTokenizer(steps);
        }
    }

    // The file does not say whether the original normalises; these do as the models' own tokenizer.json.
    private static final Map<String, Style> STYLES = Map.of(
            "gpt-2", new Style(List.of(PreTokenizer.GPT2), false, false, false),
            "smollm", new Style(List.of(PreTokenizer.GPT2), true, false, false),
            "qwen2", new Style(List.of(QWEN2), false, false, true),
            "deepseek-r1-qwen", new Style(List.of(QWEN2), false, false, true),
            "llama-bpe", new Style(List.of(LLAMA3), false, true, false),
            "deepseek-v3", new Style(List.of("\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3), false, false, false));

    public GgufVocabulary {
        tokens = List.copyOf(tokens);
        scores = List.copyOf(scores);
        types = List.copyOf(types);
        merges = List.copyOf(merges);
        ends = Set.copyOf(ends);
    }

    /// @param metadata of the file
    public static GgufVocabulary of(GgufMetadata metadata) {
        Set<Integer> ends = new TreeSet<>();
        for (String role : List.of("eos", "eot", "eom")) {
            id(metadata, role).ifPresent(ends::add);
        }
        String model = metadata.tokenizerModel().orElse("");
        float[] scores = model.equals(SENTENCE_PIECE) ? metadata.floats("tokenizer.ggml.scores") : new float[0];
        return new GgufVocabulary(
                model,
                // Older files do not name it; GPT-2's is what they were made with.
                metadata.preTokenizer().orElse("gpt-2"),
                metadata.tokens(),
                IntStream.range(0, scores.length).mapToObj(id -> scores[id]).toList(),
                IntStream.of(metadata.tokenTypes()).boxed().toList(),
                metadata.merges(),
                metadata.bool("tokenizer.ggml.add_space_prefix").orElse(true),
                id(metadata, "bos"),
                // What llama.cpp takes for granted of each.
                metadata.bool("tokenizer.ggml.add_bos_token").orElse(model.equals(SENTENCE_PIECE)),
                ends);
    }

    private static OptionalInt id(GgufMetadata metadata, String role) {
        OptionalLong id = metadata.tokenId(role);
        // What no int holds is no id of a token either, and is refused as such.
        return id.isPresent() ? OptionalInt.of(Math.clamp(id.getAsLong(), -1, Integer.MAX_VALUE)) : OptionalInt.empty();
    }

    /// @param file named in errors
    /// @throws CheckpointException if the lists disagree, or the kind of tokenizer is not known here
    public Tokenizer tokenizer(Path file) {
        boolean pieces = model.equals(SENTENCE_PIECE);
        if (!pieces && !model.equals(BYTE_LEVEL)) {
            throw new CheckpointException(
                    file,
                    "tokenizer.ggml.model",
                    "\"%s\" is not supported; gpt2, byte-level BPE, is, and llama, SentencePiece's",
                    model);
        }
        if (!pieces && !STYLES.containsKey(pre)) {
            throw new CheckpointException(
                    file,
                    "tokenizer.ggml.pre",
                    "\"%s\" is not supported; these are: %s",
                    pre,
                    STYLES.keySet().stream().sorted().toList());
        }
        if (tokens.isEmpty()
                || tokens.size() > Vocabulary.LARGEST
                || types.size() != tokens.size()
                || (pieces && scores.size() != tokens.size())) {
            throw new CheckpointException(
                    file,
                    "tokenizer.ggml.tokens",
                    "%d tokens with %d types and %d scores; 1 to %d of each are needed",
                    tokens.size(),
                    types.size(),
                    scores.size(),
                    Vocabulary.LARGEST);
        }
        begin.ifPresent(id -> check(file, "tokenizer.ggml.bos_token_id", id));
        ends.forEach(id -> check(file, "tokenizer.ggml.eos_token_id", id));
        try {
            return new BpeTokenizer(pieces ? pieces() : bytes(file, STYLES.get(pre)));
        } catch (CheckpointException refusal) {
            throw refusal;
        } catch (PenstockException refusal) {
            throw new CheckpointException(
                    file,
                    pieces ? "tokenizer.ggml.tokens" : "tokenizer.ggml.merges",
                    refusal,
                    "%s",
                    refusal.getMessage());
        }
    }

    private Vocabulary bytes(Path file, Style style) {
        List<Vocabulary.Merge> pairs = new ArrayList<>(merges.size());
        for (String merge : merges) {
            // A token may itself begin with a space only in other kinds of vocabulary; still look past the first
            // character.
            int space = merge.indexOf(' ', 1);
            if (space < 0) {
                throw new CheckpointException(
                        file, "tokenizer.ggml.merges[%d]".formatted(pairs.size()), "is no pair of tokens");
            }
            pairs.add(new Vocabulary.Merge(merge.substring(0, space), merge.substring(space + 1)));
        }
        return vocabulary(
                ids(UNUSED),
                new Vocabulary.Merging.Ranked(pairs),
                style.wholeWords(),
                new TextForm.Bytes(style.composed()),
                style.preTokenizer());
    }

    private Vocabulary pieces() {
        float[] byId = new float[scores.size()];
        for (int id = 0; id < byId.length; id++) {
            byId[id] = scores.get(id);
        }
        Set<Integer> silent = ids(UNUSED);
        silent.addAll(ids(UNKNOWN));
        return vocabulary(
                silent,
                new Vocabulary.Merging.Scored(byId, ids(USER_DEFINED)),
                false,
                new TextForm.Pieces(addsSpace ? TextForm.Prefix.EVERY : TextForm.Prefix.NONE),
                PieceSymbols.words(false, ids(NORMAL).stream().map(tokens::get)));
    }

    private Set<Integer> ids(int type) {
        return IntStream.range(0, types.size())
                .filter(id -> types.get(id) == type)
                .boxed()
                .collect(Collectors.toCollection(HashSet::new));
    }

    private Vocabulary vocabulary(
            Set<Integer> textless,
            Vocabulary.Merging merging,
            boolean wholeWords,
            TextForm form,
            PreTokenizer preTokenizer) {
        List<AddedToken> added = new ArrayList<>();
        Set<Integer> allEnds = new TreeSet<>(ends);
        for (int id = 0; id < tokens.size(); id++) {
            int type = types.get(id);
            if (type == CONTROL || type == USER_DEFINED) {
                added.add(AddedToken.plain(id, tokens.get(id), type == CONTROL));
                if (type == CONTROL && END_NAMES.contains(tokens.get(id))) {
                    allEnds.add(id);
                }
            }
        }
        return new Vocabulary(
                tokens,
                textless,
                added,
                merging,
                wholeWords,
                form,
                preTokenizer,
                addsBegin ? begin : OptionalInt.empty(),
                allEnds);
    }

    private void check(Path file, String key, int id) {
        if (id < 0 || id >= tokens.size()) {
            throw new CheckpointException(file, key, "%d is not in [0, %d)", id, tokens.size());
        }
    }
}
