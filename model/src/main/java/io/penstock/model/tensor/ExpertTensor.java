package io.penstock.model.tensor;

/// The tensors that each expert of a layer has, by their part of the canonical name.
public enum ExpertTensor {
    GATE("gate"),
    UP("up"),
    DOWN("down");

    private final String spelling;

    ExpertTensor(String spelling) {
        this.spelling = spelling;
    }

    /// @return what follows `layers.N.experts.E.` in the canonical name
    public String spelling() {
        return spelling;
    }
}
