package io.penstock.model.template;

import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/// Python's `strftime`, in English, as `strftime_now` of transformers calls it.
final class Clocked {
    private Clocked() {}

    /// @throws TemplateException for a directive that is not known here
    static Text format(Text format, LocalDateTime now) {
        Text.Builder out = new Text.Builder();
        String chars = format.chars();
        for (int at = 0; at < chars.length(); at++) {
            if (chars.charAt(at) != '%') {
                out.append(format, at, at + 1);
                continue;
            }
            int sign = at;
            boolean unpadded = chars.startsWith("-", at + 1);
            at += unpadded ? 2 : 1;
            if (at >= chars.length()) {
                throw new TemplateException("strftime_now: '%%' ends the format");
            }
            out.append(directive(chars.charAt(at), unpadded, now), format, sign);
        }
        return out.build();
    }

    private static String directive(char letter, boolean unpadded, LocalDateTime now) {
        String pattern = switch (letter) {
            case 'Y' -> "yyyy";
            case 'y' -> "yy";
            case 'm' -> unpadded ? "M" : "MM";
            case 'd' -> unpadded ? "d" : "dd";
            case 'H' -> unpadded ? "H" : "HH";
            case 'I' -> unpadded ? "h" : "hh";
            case 'M' -> unpadded ? "m" : "mm";
            case 'S' -> unpadded ? "s" : "ss";
            case 'j' -> unpadded ? "D" : "DDD";
            case 'B' -> "MMMM";
            case 'b', 'h' -> "MMM";
            case 'A' -> "EEEE";
            case 'a' -> "EEE";
            case 'p' -> "a";
            case 'F' -> "yyyy-MM-dd";
            case 'T' -> "HH:mm:ss";
            case '%' -> "'%'";
            default -> throw new TemplateException("strftime_now: directive %%%s is not supported", letter);
        };
        return DateTimeFormatter.ofPattern(pattern, Locale.US).format(now);
    }
}
