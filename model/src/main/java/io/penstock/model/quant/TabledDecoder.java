package io.penstock.model.quant;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.quant.WeightFormat.Tabled;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/// Reads [Tabled].
final class TabledDecoder implements MatrixDecoder {
    private final StoredTensor payload;
    private final float[] codes;
    private final float[] scales;
    private final int columns;
    private final int blockSize;

    TabledDecoder(Tabled format, StoredMatrix matrix, StoredTensor payload, Map<Companion, StoredTensor> beside) {
        this.payload = payload;
        codes = beside.get(Companion.CODES).floats();
        scales = format.nested() ? nested(beside) : beside.get(Companion.SCALES).floats();
        columns = matrix.columns();
        blockSize = format.blockSize();
    }

    private static float[] nested(Map<Companion, StoredTensor> beside) {
        StoredTensor places = beside.get(Companion.SCALES);
        float[] codes = beside.get(Companion.NESTED_CODES).floats();
        float[] outer = beside.get(Companion.NESTED_SCALES).floats();
        float offset = offset(beside.get(Companion.STATE));
        float[] scales = new float[Math.toIntExact(places.shape().elementCount())];
        for (int i = 0; i < scales.length; i++) {
            scales[i] = codes[places.unsigned(i)] * outer[i / Tabled.NESTED_BLOCK] + offset;
        }
        return scales;
    }

    private static float offset(StoredTensor state) {
        String text = new String(state.bytes().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
        try {
            JsonNode json = new ObjectMapper().readTree(text);
            JsonNode offset = json.path("nested_offset");
            if (!offset.isNumber() || json.path("nested_blocksize").asInt() != Tabled.NESTED_BLOCK) {
                throw new IllegalArgumentException(
                        "the state of double quantisation names no offset, or not blocks of %d"
                                .formatted(Tabled.NESTED_BLOCK));
            }
            return offset.floatValue();
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("the state of double quantisation is no JSON", e);
        }
    }

    @Override
    public void decode(int row, int column, int count, float[] target, int start) {
        long first = (long) row * columns + column;
        for (int i = 0; i < count; i++) {
            long at = first + i;
            int pair = payload.unsigned(at / 2);
            float scale = scales[(int) (at / blockSize)];
            target[start + i] = codes[at % 2 == 0 ? pair >> 4 : pair & 15] * scale;
        }
    }
}
