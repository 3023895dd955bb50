package io.penstock.model.tensor;

/// The tensors that a layer may have, by their part of the canonical name; those of its experts are in [ExpertTensor].
public enum LayerTensor {
    ATTENTION_NORM("attention.norm"),
    QUERY("attention.q"),
    KEY("attention.k"),
    VALUE("attention.v"),
    QUERY_BIAS("attention.q.bias"),
    KEY_BIAS("attention.k.bias"),
    VALUE_BIAS("attention.v.bias"),
    QUERY_NORM("attention.q.norm"),
    KEY_NORM("attention.k.norm"),
    QUERY_DOWN("attention.q.down"),
    QUERY_DOWN_NORM("attention.q.down.norm"),
    KV_DOWN("attention.kv.down"),
    KV_DOWN_NORM("attention.kv.down.norm"),
    KV_UP("attention.kv.up"),
    KEY_UP("attention.k.up"),
    VALUE_UP("attention.v.up"),
    ATTENTION_OUTPUT("attention.output"),
    MLP_NORM("mlp.norm"),
    GATE("mlp.gate"),
    UP("mlp.up"),
    DOWN("mlp.down"),
    ROUTER("experts.router"),
    ROUTER_BIAS("experts.router.bias"),
    SHARED_GATE("experts.shared.gate"),
    SHARED_UP("experts.shared.up"),
    SHARED_DOWN("experts.shared.down");

    private final String spelling;

    LayerTensor(String spelling) {
        this.spelling = spelling;
    }

    /// @return what follows `layers.N.` in the canonical name
    public String spelling() {
        return spelling;
    }
}
