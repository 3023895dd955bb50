package io.penstock.model.quant;

/// Tensors that stand beside the payload of a [WeightFormat].
public enum Companion {
    SCALES("scales"),
    ZEROS("zeros"),
    GROUPS("groups"),
    CODES("codes"),
    NESTED_SCALES("nested.scales"),
    NESTED_CODES("nested.codes"),
    /// A JSON text of some numbers.
    STATE("state");

    private final String spelling;

    Companion(String spelling) {
        this.spelling = spelling;
    }

    /// @param matrix canonical name
    /// @return canonical name of the companion
    public String of(String matrix) {
        return matrix + "." + spelling;
    }
}
