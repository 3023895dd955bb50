package io.penstock.model.checkpoint;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.RandomAccess;
import java.util.Set;

/// Metadata of a GGUF file: keys to typed values. Holds the file's own bytes and decodes a value when it is asked for,
/// so that a large array costs no more than it does in the file.
///
/// Every getter throws [CheckpointException] if the key holds another type than the one asked for, or text that is no
/// UTF-8.
public final class GgufMetadata {
    /// Where a value lies; for arrays `offset` is that of the first element and `element` its type.
    record Value(GgufType type, GgufType element, long count, long offset) {}

    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path file;
    private final MemorySegment bytes;
    private final Map<String, Value> values;

    /// @param bytes the file from its start to the end of the metadata, on the heap
    /// @param values checked to lie within `bytes`
    GgufMetadata(Path file, MemorySegment bytes, Map<String, Value> values) {
        this.file = file;
        this.bytes = bytes;
        this.values = Map.copyOf(values);
    }

    public Set<String> keys() {
        return values.keySet();
    }

    public boolean has(String key) {
        return values.containsKey(key);
    }

    public Optional<String> string(String key) {
        Value value = values.get(key);
        if (value == null) {
            return Optional.empty();
        }
        expect(key, value.type() == GgufType.STRING, value, "a string");
        return Optional.of(text(key, value.offset()));
    }

    /// Any integer type.
    public OptionalLong integer(String key) {
        Value value = values.get(key);
        if (value == null) {
            return OptionalLong.empty();
        }
        return OptionalLong.of(integer(key, value, value.type(), value.offset()));
    }

    /// Either floating-point type.
    public OptionalDouble number(String key) {
        Value value = values.get(key);
        if (value == null) {
            return OptionalDouble.empty();
        }
        expect(key, value.type() == GgufType.FLOAT32 || value.type() == GgufType.FLOAT64, value, "a float");
        return OptionalDouble.of(
                value.type() == GgufType.FLOAT32
                        ? Float.intBitsToFloat(bytes.get(INT, value.offset()))
                        : Double.longBitsToDouble(bytes.get(LONG, value.offset())));
    }

    public Optional<Boolean> bool(String key) {
        Value value = values.get(key);
        if (value == null) {
            return Optional.empty();
        }
        expect(key, value.type() == GgufType.BOOL, value, "a bool");
        return Optional.of(bytes.get(ValueLayout.JAVA_BYTE, value.offset()) != 0);
    }

    /// @return a view that decodes an element each time it is asked for; empty if there is no such key
    public List<String> strings(String key) {
        Value value = values.get(key);
        if (value == null) {
            return List.of();
        }
        expect(key, value.element() == GgufType.STRING, value, "an array of strings");
        return new Strings(key, value);
    }

    /// @return a copy; empty if there is no such key
    /// @throws CheckpointException if an element exceeds an int
    public int[] integers(String key) {
        Value value = values.get(key);
        if (value == null) {
            return new int[0];
        }
        GgufType element = value.element();
        expect(key, element != null && element.bytes() > 0, value, "an array of integers");
        int[] copy = new int[Math.toIntExact(value.count())];
        for (int i = 0; i < copy.length; i++) {
            long number = integer(key, value, element, value.offset() + (long) i * element.bytes());
            if (number != (int) number) {
                throw bad(key, "element %d is %d, beyond 32 bits", i, number);
            }
            copy[i] = (int) number;
        }
        return copy;
    }

    /// @return a copy; empty if there is no such key
    public float[] floats(String key) {
        Value value = values.get(key);
        if (value == null) {
            return new float[0];
        }
        expect(key, value.element() == GgufType.FLOAT32, value, "an array of float32");
        float[] copy = new float[Math.toIntExact(value.count())];
        for (int i = 0; i < copy.length; i++) {
            copy[i] = Float.intBitsToFloat(bytes.get(INT, value.offset() + (long) i * Float.BYTES));
        }
        return copy;
    }

    /// @return elements of an array; empty if there is no such key
    public OptionalLong length(String key) {
        Value value = values.get(key);
        if (value == null) {
            return OptionalLong.empty();
        }
        expect(key, value.type() == GgufType.ARRAY, value, "an array");
        return OptionalLong.of(value.count());
    }

    /// `gpt2` for byte-level BPE, `llama` for SentencePiece, …
    public Optional<String> tokenizerModel() {
        return string("tokenizer.ggml.model");
    }

    /// Names the pre-tokenizer's regular expressions: `smollm`, `qwen2`, `llama-bpe`, …
    public Optional<String> preTokenizer() {
        return string("tokenizer.ggml.pre");
    }

    /// Spellings by id, as the tokenizer's own alphabet writes them.
    public List<String> tokens() {
        return strings("tokenizer.ggml.tokens");
    }

    /// By id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    public int[] tokenTypes() {
        return integers("tokenizer.ggml.token_type");
    }

    /// Pairs with a space between, best first.
    public List<String> merges() {
        return strings("tokenizer.ggml.merges");
    }

    public Optional<String> chatTemplate() {
        return string("tokenizer.chat_template");
    }

    /// @param role `bos`, `eos`, `eot`, `eom`, `unknown`, `padding`, …
    public OptionalLong tokenId(String role) {
        return integer("tokenizer.ggml." + role + "_token_id");
    }

    @FormatMethod
    CheckpointException bad(String key, @FormatString String format, Object... arguments) {
        return new CheckpointException(file, key, format, arguments);
    }

    private void expect(String key, boolean holds, Value value, String wanted) {
        if (!holds) {
            throw bad(
                    key,
                    "at offset %d is %s, %s is expected",
                    value.offset(),
                    value.element() == null ? value.type() : value.type() + " of " + value.element(),
                    wanted);
        }
    }

    private long integer(String key, Value value, GgufType type, long offset) {
        return switch (type) {
            case UINT8 -> Byte.toUnsignedLong(bytes.get(ValueLayout.JAVA_BYTE, offset));
            case INT8 -> bytes.get(ValueLayout.JAVA_BYTE, offset);
            case UINT16 -> Short.toUnsignedLong(bytes.get(SHORT, offset));
            case INT16 -> bytes.get(SHORT, offset);
            case UINT32 -> Integer.toUnsignedLong(bytes.get(INT, offset));
            case INT32 -> bytes.get(INT, offset);
            case UINT64 -> {
                long number = bytes.get(LONG, offset);
                if (number < 0) {
                    throw bad(key, "is %s, beyond 63 bits", Long.toUnsignedString(number));
                }
                yield number;
            }
            case INT64 -> bytes.get(LONG, offset);
            case FLOAT32, BOOL, STRING, ARRAY, FLOAT64 -> {
                expect(key, false, value, "an integer");
                throw new AssertionError("unreachable");
            }
        };
    }

    /// @param offset of the length before the text
    private String text(String key, long offset) {
        long length = bytes.get(LONG, offset);
        ByteBuffer encoded = bytes.asSlice(offset + Long.BYTES, length).asByteBuffer();
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(encoded)
                    .toString();
        } catch (CharacterCodingException e) {
            throw new CheckpointException(file, key, e, "text at offset %d is not UTF-8: %s", offset, e.getMessage());
        }
    }

    private final class Strings extends AbstractList<String> implements RandomAccess {
        private final String key;
        private final int[] offsets;

        Strings(String key, Value value) {
            this.key = key;
            offsets = new int[Math.toIntExact(value.count())];
            long offset = value.offset();
            for (int i = 0; i < offsets.length; i++) {
                // The metadata is at most GgufHead.LONGEST bytes long.
                offsets[i] = Math.toIntExact(offset);
                offset += Long.BYTES + bytes.get(LONG, offset);
            }
        }

        @Override
        public String get(int index) {
            return text(key, offsets[index]);
        }

        @Override
        public int size() {
            return offsets.length;
        }
    }
}
