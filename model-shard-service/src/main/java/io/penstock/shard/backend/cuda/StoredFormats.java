package io.penstock.shard.backend.cuda;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Tabled;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.RankSlice.Range;
import io.penstock.model.tensor.TensorNames;
import java.util.Arrays;

/// Keeps matrices in the format that a checkpoint has them in, where kernels take it; others
/// become bf16.
///
/// @param hidden columns of the output matrix
/// @param vocabulary rows of the output matrix on this rank
record StoredFormats(StoredContents contents, Range hidden, Range vocabulary) implements DeviceWeights.Choice {
    private static final int ROWS_A_SCALE = 8;

    @Override
    public WeightFormat of(int layer, Range columns, LayerTensor... parts) {
        return common(Arrays.stream(parts)
                .map(part -> of(TensorNames.layer(layer, part), columns))
                .toArray(WeightFormat[]::new));
    }

    @Override
    public WeightFormat output() {
        WeightFormat format = of(
                contents.checkpoint().config().tiedEmbeddings() ? TensorNames.EMBEDDING : TensorNames.OUTPUT, hidden);
        // A vocabulary may be parted anywhere, what shares a scale may not.
        return vocabulary.from() % ROWS_A_SCALE == 0 ? format : WeightFormat.BF16;
    }

    private static WeightFormat common(WeightFormat... formats) {
        for (WeightFormat format : formats) {
            if (Arrays.stream(formats).allMatch(each -> takes(format, each))) {
                return format;
            }
        }
        return WeightFormat.BF16;
    }

    /// Whether a matrix of one format can hold what is stored in another, integer for integer:
    /// zeros that are all alike can be told.
    static boolean takes(WeightFormat format, WeightFormat stored) {
        return format == stored || (format == WeightFormat.INT4_ZEROS && stored == WeightFormat.INT4);
    }

    private WeightFormat of(String tensor, Range columns) {
        boolean granules = columns.from() % WeightFormat.GRANULE == 0 && columns.count() % WeightFormat.GRANULE == 0;
        return granules ? of(contents, tensor) : WeightFormat.BF16;
    }

    static WeightFormat of(StoredContents contents, String tensor) {
        io.penstock.model.quant.WeightFormat stored = contents.format(tensor);
        return stored == null ? WeightFormat.BF16 : of(stored);
    }

    /// The device's format of the same values.
    static WeightFormat of(io.penstock.model.quant.WeightFormat stored) {
        return switch (stored) {
            case Scaled scaled when scaled.elements() != DType.F8_E4M3 -> WeightFormat.BF16;
            case Scaled scaled when scaled.tileColumns() == 0 -> WeightFormat.FP8_ROWS;
            case Scaled scaled
            when scaled.tileColumns() % WeightFormat.GRANULE == 0 && scaled.tileRows() % ROWS_A_SCALE == 0 ->
                WeightFormat.FP8_BLOCKS;
            case Grouped grouped
            when grouped.bits() == 4 && grouped.groupSize() % WeightFormat.GRANULE == 0 && !grouped.reordered() ->
                grouped.zeros() == Zeros.MIDDLE ? WeightFormat.INT4 : WeightFormat.INT4_ZEROS;
            case Scaled _, Grouped _, Tabled _ -> WeightFormat.BF16;
        };
    }
}
