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
import java.util.stream.IntStream;

/// The tokenizer that a GGUF file carries, as its `tokenizer.ggml.*` keys give it.
///
/// @param model `tokenizer.ggml.model`; "gpt2" is byte-level BPE
/// @param pre `tokenizer.ggml.pre`, the name of how text is cut into words
/// @param tokens spelling of each id
/// @param types kind of each token, as llama.cpp numbers them
/// @param merges "left right", by rank
/// @param begin `bos_token_id`
/// @param addsBegin `add_bos_token`
/// @param ends `eos_token_id`, `eot_token_id`, `eom_token_id`: those that are there
public record GgufVocabulary(
        String model,
        String pre,
        List<String> tokens,
        List<Integer> types,
        List<String> merges,
        OptionalInt begin,
        boolean addsBegin,
        Set<Integer> ends) {
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
        return new GgufVocabulary(
                metadata.tokenizerModel().orElse(""),
                // Older files do not name it; GPT-2's is what they were made with.
                metadata.preTokenizer().orElse("gpt-2"),
                metadata.tokens(),
                IntStream.of(metadata.tokenTypes()).boxed().toList(),
                metadata.merges(),
                id(metadata, "bos"),
                metadata.bool("tokenizer.ggml.add_bos_token").orElse(false),
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
        if (!model.equals("gpt2")) {
            throw new CheckpointException(
                    file, "tokenizer.ggml.model", "\"%s\" is not supported; gpt2, byte-level BPE, is", model);
        }
        Style style = STYLES.get(pre);
        if (style == null) {
            throw new CheckpointException(
                    file,
                    "tokenizer.ggml.pre",
                    "\"%s\" is not supported; these are: %s",
                    pre,
                    STYLES.keySet().stream().sorted().toList());
        }
        if (tokens.isEmpty() || tokens.size() > Vocabulary.LARGEST || types.size() != tokens.size()) {
            throw new CheckpointException(
                    file,
                    "tokenizer.ggml.tokens",
                    "%d tokens with %d types; 1 to %d of each are needed",
                    tokens.size(),
                    types.size(),
                    Vocabulary.LARGEST);
        }
        begin.ifPresent(id -> check(file, "tokenizer.ggml.bos_token_id", id));
        ends.forEach(id -> check(file, "tokenizer.ggml.eos_token_id", id));
        try {
            return new BpeTokenizer(vocabulary(file, style));
        } catch (CheckpointException refusal) {
            throw refusal;
        } catch (PenstockException refusal) {
            throw new CheckpointException(file, "tokenizer.ggml.merges", refusal, "%s", refusal.getMessage());
        }
    }

    private Vocabulary vocabulary(Path file, Style style) {
        List<AddedToken> added = new ArrayList<>();
        List<String> pieces = new ArrayList<>(tokens.size());
        Set<Integer> textless = new HashSet<>();
        Set<Integer> allEnds = new TreeSet<>(ends);
        for (int id = 0; id < tokens.size(); id++) {
            String token = tokens.get(id);
            int type = types.get(id);
            if (type == CONTROL || type == USER_DEFINED) {
                added.add(AddedToken.plain(id, token, type == CONTROL));
                if (type == CONTROL && END_NAMES.contains(token)) {
                    allEnds.add(id);
                }
            } else if (type == UNUSED) {
                textless.add(id);
            }
            pieces.add(token);
        }
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
        return new Vocabulary(
                pieces,
                textless,
                added,
                pairs,
                style.wholeWords(),
                style.composed(),
                style.preTokenizer(),
                addsBegin ? begin : OptionalInt.empty(),
                allEnds);
    }

    private void check(Path file, String key, int id) {
        if (id < 0 || id >= tokens.size()) {
            throw new CheckpointException(file, key, "%d is not in [0, %d)", id, tokens.size());
        }
    }
}
