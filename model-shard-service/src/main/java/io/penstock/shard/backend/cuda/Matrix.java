package io.penstock.shard.backend.cuda;

/// A weight matrix `[rows, columns]` in device memory.
///
/// @param address of its values
/// @param scales address of what its format keeps apart, or 0
/// @param halves whether rows are tiles of 8 of one matrix and 8 of another (gate and up)
record Matrix(long address, long scales, WeightFormat format, int rows, int columns, boolean halves) {

    /// Takes the memory; bf16 where the format does not serve.
    static Matrix lay(DeviceArena arena, WeightFormat wanted, long rows, long columns, boolean halves) {
        int r = Math.toIntExact(rows);
        int c = Math.toIntExact(columns);
        WeightFormat format = wanted.serves(c) ? wanted : WeightFormat.BF16;
        long scaleBytes = format.scaleBytes(r, c);
        return new Matrix(
                arena.take(format.bytes(r, c)), scaleBytes == 0 ? 0 : arena.take(scaleBytes), format, r, c, halves);
    }

    /// Bytes that a step of few rows reads of it.
    long bytes() {
        return format.bytes(rows, columns) + format.scaleBytes(rows, columns);
    }

    /// Bytes of the same in bf16.
    long wideBytes() {
        return WeightFormat.BF16.bytes(rows, columns);
    }
}
