package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Grouped;
import java.util.Map;

/// Reads [Grouped].
final class GroupedDecoder implements GroupedElements {
    /// Where in a word AWQ keeps each of 8 consecutive outputs: the even ones first.
    private static final int[] EVEN_FIRST = {0, 4, 1, 5, 2, 6, 3, 7};

    private final Grouped format;
    private final StoredTensor payload;
    private final StoredTensor zeros;
    private final StoredTensor groupOfInput;
    private final float[] scales;
    private final int rows;
    private final int columns;
    private final int groups;
    private final int perWord;
    private final int mask;

    GroupedDecoder(Grouped format, StoredMatrix matrix, StoredTensor payload, Map<Companion, StoredTensor> beside) {
        this.format = format;
        this.payload = payload;
        zeros = beside.get(Companion.ZEROS);
        groupOfInput = format.reordered() ? beside.get(Companion.GROUPS) : null;
        scales = beside.get(Companion.SCALES).floats();
        rows = matrix.rows();
        columns = matrix.columns();
        groups = format.groups(columns);
        perWord = format.perWord();
        mask = (1 << format.bits()) - 1;
        if (groupOfInput != null) {
            for (int input = 0; input < columns; input++) {
                int group = groupOfInput.word(input);
                if (group < 0 || group >= groups) {
                    throw new IllegalArgumentException(
                            "input %d is said to be of group %d, of %d".formatted(input, group, groups));
                }
            }
        }
    }

    @Override
    public void decode(int row, int column, int count, float[] target, int start) {
        for (int i = 0; i < count; i++) {
            int input = column + i;
            target[start + i] = scale(row, input) * (element(row, input) - zero(row, input));
        }
    }

    @Override
    public float scale(int row, int input) {
        int group = group(input);
        return scales[
                switch (format.packing()) {
                    case INPUTS_DOWN, OUTPUTS_ACROSS -> group * rows + row;
                    case INPUTS_ACROSS -> row * groups + group;
                }];
    }

    private int group(int input) {
        if (groupOfInput != null) {
            return groupOfInput.word(input);
        }
        return format.groupSize() == 0 ? 0 : input / format.groupSize();
    }

    @Override
    public int element(int row, int input) {
        return switch (format.packing()) {
            case INPUTS_DOWN -> unpack(payload.word((long) (input / perWord) * rows + row), input % perWord);
            case OUTPUTS_ACROSS ->
                unpack(payload.word((long) input * (rows / perWord) + row / perWord), evenFirst(row % perWord));
            case INPUTS_ACROSS ->
                unpack(payload.word((long) row * Math.ceilDiv(columns, perWord) + input / perWord), input % perWord);
        };
    }

    @Override
    public int zero(int row, int input) {
        int group = group(input);
        return switch (format.zeros()) {
            case MIDDLE -> (mask + 1) / 2;
            case STORED -> storedZero(row, group);
            // In their few bits, as AutoGPTQ adds: one more than the greatest is 0, written so where
            // zero was 0.
            case STORED_LESS_ONE -> (storedZero(row, group) + 1) & mask;
        };
    }

    private int storedZero(int row, int group) {
        return switch (format.packing()) {
            case INPUTS_DOWN -> unpack(zeros.word((long) group * (rows / perWord) + row / perWord), row % perWord);
            case OUTPUTS_ACROSS ->
                unpack(zeros.word((long) group * (rows / perWord) + row / perWord), evenFirst(row % perWord));
            case INPUTS_ACROSS -> unpack(zeros.word((long) (row / perWord) * groups + group), row % perWord);
        };
    }

    private int unpack(int word, int index) {
        return word >>> (index * format.bits()) & mask;
    }

    private int evenFirst(int index) {
        return format.bits() == 4 ? EVEN_FIRST[index] : index;
    }
}
