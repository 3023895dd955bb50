package io.penstock.model.tensor;

/// The tensors that each layer has, by their part of the canonical name.
public enum LayerTensor {
    ATTENTION_NORM("attention.norm"),
    QUERY("attention.q"),
    KEY("attention.k"),
    VALUE("attention.v"),
    QUERY_BIAS("attention.q.bias"),
    KEY_BIAS("attention.k.bias"),
    VALUE_BIAS("attention.v.bias"),
    ATTENTION_OUTPUT("attention.output"),
    MLP_NORM("mlp.norm"),
    GATE("mlp.gate"),
    UP("mlp.up"),
    DOWN("mlp.down");

    private final String spelling;

    LayerTensor(String spelling) {
        this.spelling = spelling;
    }

    /// @return what follows `layers.N.` in the canonical name
    public String spelling() {
        return spelling;
    }
}
