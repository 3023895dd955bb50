package io.penstock.gateway.chat;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// JSON from outside, within bounds, and the factory for what is written.
public final class Json {
    private static final int MAX_DEPTH = 64;
    private static final int MAX_TOKENS = 2_000_000;
    private static final int MAX_NUMBER = 64;
    private static final int MAX_NAME = 256;

    /// Bytes of memory for each byte of a text: the buffer that it came in, and a string of two bytes a character.
    private static final int TEXT_WEIGHT = 3;

    /// Bytes of memory, about, for each object, array, entry of an object, value and end of a string.
    private static final int OBJECT_WEIGHT = 96;

    private static final int ARRAY_WEIGHT = 64;
    private static final int ENTRY_WEIGHT = 48;
    private static final int VALUE_WEIGHT = 32;
    private static final int QUOTE_WEIGHT = 24;

    /// Strings are as long as the body may be; that is bounded where it is read.
    public static final JsonFactory FACTORY = new JsonFactoryBuilder()
            // Root values follow one another with the framing of events between them.
            .rootValueSeparator("")
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(MAX_DEPTH)
                    .maxTokenCount(MAX_TOKENS)
                    .maxNumberLength(MAX_NUMBER)
                    .maxNameLength(MAX_NAME)
                    .maxStringLength(Integer.MAX_VALUE)
                    .build())
            // Read, so that the parameter can be named that is not a number.
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .build();

    private static final JsonMapper MAPPER = JsonMapper.builder(FACTORY)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            // Who stands before us may have read the other one.
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .build();

    private Json() {}

    /// What the tree that [#parse] makes may take, from the signs in the text alone: texts that hold such signs
    /// themselves are weighed too heavily.
    ///
    /// @return bytes
    public static long weight(byte[] body) {
        long weight = (long) TEXT_WEIGHT * body.length;
        for (byte sign : body) {
            weight += switch (sign) {
                case '{' -> OBJECT_WEIGHT;
                case '[' -> ARRAY_WEIGHT;
                case ':' -> ENTRY_WEIGHT;
                case ',' -> VALUE_WEIGHT;
                case '"' -> QUOTE_WEIGHT;
                default -> 0;
            };
        }
        return weight;
    }

    /// @throws RequestException if it is no JSON, no UTF-8, or past a bound
    public static JsonNode parse(byte[] body) {
        Reader text = new InputStreamReader(
                new ByteArrayInputStream(body),
                StandardCharsets.UTF_8
                        .newDecoder()
                        .onMalformedInput(CodingErrorAction.REPORT)
                        .onUnmappableCharacter(CodingErrorAction.REPORT));
        try {
            return MAPPER.readTree(text);
        } catch (CharacterCodingException e) {
            throw RequestException.bad(null, "The body is not valid UTF-8.");
        } catch (StreamConstraintsException e) {
            throw RequestException.bad(
                    null,
                    "The body nests deeper than %d levels, or holds more than %d values, a name longer than %d or a "
                            + "number longer than %d characters.",
                    MAX_DEPTH,
                    MAX_TOKENS,
                    MAX_NAME,
                    MAX_NUMBER);
        } catch (JsonParseException e) {
            throw RequestException.bad(
                    null,
                    "The body is not valid JSON, near line %d, column %d.",
                    e.getLocation().getLineNr(),
                    e.getLocation().getColumnNr());
        } catch (JsonProcessingException e) {
            throw RequestException.bad(null, "The body is not one JSON value, or has a field twice.");
        } catch (IOException e) {
            throw new IllegalStateException("reading from memory failed", e);
        }
    }

    /// A string that can be encoded: JSON's escapes can spell half a surrogate pair.
    public static String text(JsonNode value, String path) {
        if (!value.isTextual()) {
            throw RequestException.bad(path, "`%s` must be a string.", path);
        }
        String text = value.textValue();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isSurrogate(c)) {
                if (Character.isLowSurrogate(c)
                        || i + 1 == text.length()
                        || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    throw RequestException.bad(path, "`%s` holds half a surrogate pair, at %d.", path, i);
                }
                i++;
            }
        }
        return text;
    }

    /// As maps, lists, strings, numbers, booleans and nulls.
    public static Object plain(JsonNode value, String path) {
        return switch (value.getNodeType()) {
            case OBJECT -> {
                Map<String, Object> map = new LinkedHashMap<>();
                value.properties()
                        .forEach(
                                entry -> map.put(entry.getKey(), plain(entry.getValue(), path + "." + entry.getKey())));
                yield map;
            }
            case ARRAY -> {
                List<Object> list = new ArrayList<>(value.size());
                value.forEach(element -> list.add(plain(element, path)));
                yield list;
            }
            case STRING -> text(value, path);
            case NUMBER -> {
                if (value.isIntegralNumber() && value.canConvertToLong()) {
                    yield value.longValue();
                }
                double number = value.doubleValue();
                if (!Double.isFinite(number)) {
                    throw RequestException.bad(path, "`%s` holds %s.", path, number);
                }
                yield number;
            }
            case BOOLEAN -> value.booleanValue();
            case NULL, MISSING -> null;
            case BINARY, POJO -> throw new IllegalStateException("not from JSON text: " + value.getNodeType());
        };
    }
}
