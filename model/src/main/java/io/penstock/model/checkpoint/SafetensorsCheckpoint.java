package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import java.util.Map;

/// A checkpoint as Hugging Face publishes it: `config.json`, one or more safetensors files, the tokenizer beside them.
public final class SafetensorsCheckpoint implements Checkpoint {
    static final String CONFIG = "config.json";

    private final ModelConfig config;
    private final Map<String, TensorLocation> tensors;

    SafetensorsCheckpoint(ModelConfig config, Map<String, TensorLocation> tensors) {
        this.config = config;
        this.tensors = tensors;
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public Map<String, TensorLocation> tensors() {
        return tensors;
    }
}
