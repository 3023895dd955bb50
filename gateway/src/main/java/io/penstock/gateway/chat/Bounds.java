package io.penstock.gateway.chat;

/// Limits on what one request may ask for, whatever its protocol. Those of sampling are in
/// [io.penstock.model.sampling.SamplingParameters].
public final class Bounds {
    public static final int MAX_CHOICES = 16;
    /// Prompts times choices.
    public static final int MAX_SEQUENCES = 64;
    public static final int MAX_STOPS = 4;
    public static final int MAX_STOP_LENGTH = 1_024;
    public static final int MAX_STOP_TOKEN_IDS = 64;
    public static final int MAX_MESSAGES = 10_000;
    public static final int MAX_TOOLS = 128;

    private Bounds() {}
}
