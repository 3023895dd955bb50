package io.penstock.model.template;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// A template that cannot be rendered with what it was given.
final class TemplateException extends PenstockException {
    @FormatMethod
    TemplateException(@FormatString String format, Object... arguments) {
        super(ErrorCategory.BAD_INPUT, format, arguments);
    }
}
