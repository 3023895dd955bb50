package io.penstock.scheduler.group;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.ModelShape;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// What all ranks of a group must agree on; taken from the first that says Hello.
public record GroupIdentity(String group, String model, String revision, int tpSize, int ppSize, ModelShape shape) {
    /// Version of `shard.proto` that this scheduler speaks.
    public static final int PROTOCOL = 1;

    private static final int MAX_NAME = 256;
    private static final int MAX_RANKS = 1_024;
    private static final int MAX_LENGTH = 1 << 24;

    /// @throws PenstockException (bad input) naming the field, its value and what is allowed
    public static GroupIdentity of(Hello hello) {
        if (hello.getProtocol() != PROTOCOL) {
            throw bad("protocol is %d, this scheduler speaks %d", hello.getProtocol(), PROTOCOL);
        }
        name("group", hello.getGroup());
        name("model", hello.getModel());
        if (hello.getRevision().length() > MAX_NAME || hello.getInstance().length() > MAX_NAME) {
            throw bad("revision or instance is longer than %d characters", MAX_NAME);
        }
        within("tp_size", hello.getTpSize(), 1, MAX_RANKS);
        within("pp_size", hello.getPpSize(), 1, MAX_RANKS / hello.getTpSize());
        within("tp_rank", hello.getTpRank(), 0, hello.getTpSize() - 1);
        within("pp_stage", hello.getPpStage(), 0, hello.getPpSize() - 1);
        within("max_sequences", hello.getMaxSequences(), 1, Integer.MAX_VALUE);
        within("max_step_tokens", hello.getMaxStepTokens(), 1, Integer.MAX_VALUE);
        if (hello.getTpSize() * hello.getPpSize() > 1) {
            name("peer_host", hello.getPeerHost());
            within("peer_port", hello.getPeerPort(), 1, 65_535);
        }
        ModelShape shape = hello.getShape();
        within("shape.layers", shape.getLayers(), hello.getPpSize(), 1 << 16);
        within("shape.context_length", shape.getContextLength(), 1, MAX_LENGTH);
        within("shape.vocabulary_size", shape.getVocabularySize(), 1, MAX_LENGTH);
        within("loaded_first_layer", hello.getLoadedFirstLayer(), 0, shape.getLayers());
        within("loaded_layer_count", hello.getLoadedLayerCount(), 0, shape.getLayers() - hello.getLoadedFirstLayer());
        return new GroupIdentity(
                hello.getGroup(), hello.getModel(), hello.getRevision(), hello.getTpSize(), hello.getPpSize(), shape);
    }

    public int ranks() {
        return tpSize * ppSize;
    }

    /// @throws PenstockException (bad input) naming the first thing in which `other` differs
    public void checkSame(GroupIdentity other) {
        same("model", model, other.model);
        same("revision", revision, other.revision);
        same("tp_size", tpSize, other.tpSize);
        same("pp_size", ppSize, other.ppSize);
        same("architecture", shape.getArchitecture(), other.shape.getArchitecture());
        same("layers", shape.getLayers(), other.shape.getLayers());
        same("context_length", shape.getContextLength(), other.shape.getContextLength());
        same("vocabulary_size", shape.getVocabularySize(), other.shape.getVocabularySize());
    }

    private void same(String what, Object ours, Object theirs) {
        if (!ours.equals(theirs)) {
            throw bad("%s is %s, the other ranks of group %s say %s", what, theirs, group, ours);
        }
    }

    private static void name(String field, String value) {
        if (value.isBlank() || value.length() > MAX_NAME) {
            throw bad("%s has %d characters, must have 1 to %d", field, value.length(), MAX_NAME);
        }
    }

    private static void within(String field, int value, int least, int most) {
        if (value < least || value > most) {
            throw bad("%s is %d, must lie in [%d, %d]", field, value, least, most);
        }
    }

    @FormatMethod
    private static PenstockException bad(@FormatString String format, Object... arguments) {
        return new PenstockException(ErrorCategory.BAD_INPUT, format, arguments);
    }
}
