package io.penstock.model.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// Refuses what no model has.
final class Bounds {
    private Bounds() {}

    static void within(String what, int value, int least, int most) {
        if (value < least || value > most) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
    }

    // Written so that NaN fails.
    static void within(String what, double value, double least, double most) {
        if (!(value >= least && value <= most)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s is %s, must lie in [%s, %s]", what, value, least, most);
        }
    }

    static void even(String what, int value) {
        if (value % 2 != 0) {
            throw new PenstockException(ErrorCategory.CORRUPT, "%s, %d, is odd", what, value);
        }
    }
}
