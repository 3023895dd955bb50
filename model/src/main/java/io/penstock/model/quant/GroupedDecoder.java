package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Zeros;
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
        scales = beside.get(Companion.SCALES).floats();
        rows = matrix.rows();
        columns = matrix.columns();
        groups = format.groups(columns);
        perWord = format.perWord();
        mask = (1 << format.bits()) - 1;
        groupOfInput = format.reordered() ? order(beside.get(Companion.GROUPS)) : null;
    }

    /// @return null where groups are runs
    private StoredTensor order(StoredTensor groupOf) {
        boolean runs = true;
        for (int input = 0; input < columns; input++) {
            int group = groupOf.word(input);
            if (group < 0 || group >= groups) {
                throw new IllegalArgumentException(
                        "input %d is said to be of group %d, of %d".formatted(input, group, groups));
            }
            runs &= group == run(input);
        }
        return runs ? null : groupOf;
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
        return run(input);
    }

    private int run(int input) {
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

    @Override
    public Grouped simplest() {
        return new Grouped(
                format.bits(),
                format.groupSize(),
                format.packing(),
                allInTheMiddle() ? Zeros.MIDDLE : format.zeros(),
                groupOfInput != null);
    }

    private boolean allInTheMiddle() {
        if (format.zeros() == Zeros.MIDDLE) {
            return true;
        }
        int middle = (mask + 1) / 2 - (format.zeros() == Zeros.STORED_LESS_ONE ? 1 : 0);
        int all = Integer.divideUnsigned(-1, mask) * middle;
        // Behind the last output a word holds anything.
        int cut = format.packing() == Packing.INPUTS_ACROSS ? rows % perWord : 0;
        long whole = format.packing() == Packing.INPUTS_ACROSS
                ? (long) (rows / perWord) * groups
                : zeros.shape().elementCount();
        for (long i = 0; i < zeros.shape().elementCount(); i++) {
            int told = i < whole ? -1 : (1 << (cut * format.bits())) - 1;
            if (((zeros.word(i) ^ all) & told) != 0) {
                return false;
            }
        }
        return true;
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
