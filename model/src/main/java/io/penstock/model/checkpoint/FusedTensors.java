package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Matrices that some writers (Phi) put on top of one another in one tensor: queries, keys and values, or gate and
/// up. Rows follow one another, so each is a tensor of its own that begins further on in the same file; a rank then
/// reads its rows of each and no others.
final class FusedTensors {
    private static final String ATTENTION = "self_attn.qkv_proj.weight";
    private static final String MLP = "mlp.gate_up_proj.weight";

    private FusedTensors() {}

    /// @param rows of each matrix
    private record Piece(String name, long rows) {}

    /// @return the same tensors, fused ones replaced by what they hold
    static List<TensorLocation> part(List<TensorLocation> tensors, ModelConfig config) {
        List<Piece> attention = List.of(
                new Piece("self_attn.q_proj.weight", (long) config.heads() * config.headSize()),
                new Piece("self_attn.k_proj.weight", config.kvSize()),
                new Piece("self_attn.v_proj.weight", config.kvSize()));
        List<Piece> mlp = List.of(
                new Piece("mlp.gate_proj.weight", config.intermediateSize()),
                new Piece("mlp.up_proj.weight", config.intermediateSize()));
        List<TensorLocation> parted = new ArrayList<>(tensors.size());
        for (TensorLocation tensor : tensors) {
            if (tensor.name().endsWith("." + ATTENTION)) {
                part(tensor, ATTENTION, attention, parted);
            } else if (tensor.name().endsWith("." + MLP)) {
                part(tensor, MLP, mlp, parted);
            } else {
                parted.add(tensor);
            }
        }
        return parted;
    }

    private static void part(TensorLocation fused, String suffix, List<Piece> pieces, List<TensorLocation> into) {
        long rows = pieces.stream().mapToLong(Piece::rows).sum();
        if (fused.shape().rank() != 2
                || fused.shape().extent(0) != rows
                || fused.dtype().blockElements() > 1) {
            throw new CheckpointException(
                    fused.file(),
                    fused.name(),
                    "at offset %d has shape %s of %s, %d rows of plain numbers are expected",
                    fused.offset(),
                    fused.shape(),
                    fused.dtype(),
                    rows);
        }
        String prefix = fused.name().substring(0, fused.name().length() - suffix.length());
        long columns = fused.shape().extent(1);
        long rowBytes = fused.length() / rows;
        long at = fused.offset();
        for (Piece piece : pieces) {
            long length = piece.rows() * rowBytes;
            into.add(new TensorLocation(
                    prefix + piece.name(), fused.dtype(), Shape.of(piece.rows(), columns), fused.file(), at, length));
            at += length;
        }
    }
}
