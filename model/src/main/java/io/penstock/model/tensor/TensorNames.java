package io.penstock.model.tensor;

/// The canonical names of tensors, the same whatever file format they came in:
///
/// | name | shape | what |
/// | --- | --- | --- |
/// | `embedding` | vocabulary x hidden | one row a token |
/// | `layers.N.attention.norm`, `layers.N.mlp.norm` | hidden | RMS norm weights before attention and before the MLP |
/// | `layers.N.attention.q` (`.bias`) | heads * headSize x hidden | query projection |
/// | `layers.N.attention.k`, `.v` (`.bias`) | kvHeads * headSize x hidden | key and value projections |
/// | `layers.N.attention.output` | hidden x heads * headSize | |
/// | `layers.N.mlp.gate`, `layers.N.mlp.up` | intermediate x hidden | |
/// | `layers.N.mlp.down` | hidden x intermediate | |
/// | `layers.N.attention.q.norm`, `.k.norm` | headSize | RMS norm weights of each head |
/// | `layers.N.attention.q.down` (`.norm`) | queryRank x hidden | what queries are made of; `q` has queryRank columns |
/// | `layers.N.attention.kv.down` | keyRank + rotarySize x hidden | what is cached; the rotated key comes last |
/// | `layers.N.attention.kv.down.norm` | keyRank | |
/// | `layers.N.attention.kv.up` | heads * (plainSize + valueSize) x keyRank | of each head the keys, then the values |
/// | `layers.N.attention.k.up` | heads * keyRank x plainSize | in its place: of each head the keys, transposed |
/// | `layers.N.attention.v.up` | heads * valueSize x keyRank | and the values |
/// | `layers.N.experts.router` (`.bias`) | experts x hidden | |
/// | `layers.N.experts.shared.gate`, `.up`, `.down` | as those of the MLP | |
/// | `layers.N.experts.E.gate`, `.up`, `.down` | as those of the MLP | |
/// | `output.norm` | hidden | RMS norm weights before the output matrix |
/// | `output` | vocabulary x hidden | absent where the embedding is tied; then `embedding` serves |
/// | `rope.divisors` | headSize / 2 | only with [io.penstock.model.config.RopeScaling.Divisors] |
///
/// All matrices are `[outputs, inputs]`: a row holds what makes one output.
public final class TensorNames {
    public static final String EMBEDDING = "embedding";
    public static final String OUTPUT_NORM = "output.norm";
    public static final String OUTPUT = "output";
    public static final String ROPE_DIVISORS = "rope.divisors";

    private TensorNames() {}

    /// @param layer counted from 0 over the whole model, whatever the stage
    public static String layer(int layer, LayerTensor tensor) {
        return "layers." + layer + "." + tensor.spelling();
    }

    /// @param layer as above
    /// @param expert counted from 0 in its layer
    public static String expert(int layer, int expert, ExpertTensor tensor) {
        return "layers." + layer + ".experts." + expert + "." + tensor.spelling();
    }
}
