package io.penstock.model.template;

import java.math.BigDecimal;
import java.math.RoundingMode;

/// Python's arithmetic, with integers of 64 bits: what would need more is refused.
final class Numbers {
    private Numbers() {}

    static Value arithmetic(String operator, Value left, Value right) {
        boolean whole = !(left instanceof Value.Real) && !(right instanceof Value.Real);
        try {
            if (operator.equals("**")) {
                return power(left, right, whole);
            }
            return whole && !operator.equals("/")
                    ? Value.of(whole(operator, Operators.whole(left), Operators.whole(right)))
                    : new Value.Real(real(operator, Operators.real(left), Operators.real(right)));
        } catch (ArithmeticException e) {
            throw new TemplateException("integer beyond 64 bits, or division by zero, in '%s'", operator);
        }
    }

    private static long whole(String operator, long left, long right) {
        return switch (operator) {
            case "+" -> Math.addExact(left, right);
            case "-" -> Math.subtractExact(left, right);
            case "*" -> Math.multiplyExact(left, right);
            case "//" -> Math.floorDivExact(left, right);
            case "%" -> Math.floorMod(left, right);
            default -> throw new AssertionError(operator);
        };
    }

    private static double real(String operator, double left, double right) {
        if (right == 0 && "//%".contains(operator)) {
            throw new ArithmeticException();
        }
        return switch (operator) {
            case "+" -> left + right;
            case "-" -> left - right;
            case "*" -> left * right;
            case "/" -> left / right;
            case "//" -> Math.floor(left / right);
            case "%" -> {
                double rest = left % right;
                yield rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
            }
            default -> throw new AssertionError(operator);
        };
    }

    private static Value power(Value left, Value right, boolean whole) {
        if (!whole || Operators.whole(right) < 0) {
            return new Value.Real(Math.pow(Operators.real(left), Operators.real(right)));
        }
        long base = Operators.whole(left);
        long exponent = Operators.whole(right);
        if (exponent > 64 && Math.abs(base) > 1) {
            throw new ArithmeticException();
        }
        // Of -1, 0 and 1 only the exponent's parity matters.
        long times = exponent > 64 ? 2 + exponent % 2 : exponent;
        long result = 1;
        for (long count = 0; count < times; count++) {
            result = Math.multiplyExact(result, base);
        }
        return Value.of(result);
    }

    static Value negate(Value value) {
        return value instanceof Value.Real(double number)
                ? new Value.Real(-number)
                : Value.of(Math.negateExact(Operators.whole(value)));
    }

    /// Python's `repr` of a float: the fewest digits that read back the same, an exponent beyond 16 digits.
    static String spell(double number) {
        if (Double.isNaN(number)) {
            return "nan";
        }
        if (Double.isInfinite(number)) {
            return number > 0 ? "inf" : "-inf";
        }
        if (number == 0) {
            return 1 / number < 0 ? "-0.0" : "0.0";
        }
        BigDecimal shortest = new BigDecimal(Double.toString(number)).stripTrailingZeros();
        int exponent = shortest.precision() - shortest.scale() - 1;
        if (exponent >= -4 && exponent < 16) {
            String plain = shortest.toPlainString();
            return plain.contains(".") ? plain : plain + ".0";
        }
        String digits = shortest.unscaledValue().abs().toString();
        String sign = number < 0 ? "-" : "";
        String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
        return sign + digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+")
                + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
    }

    /// @param digits after the point, to which `mode` rounds
    static double round(double number, int digits, RoundingMode mode) {
        if (Double.isNaN(number) || Double.isInfinite(number)) {
            return number;
        }
        return new BigDecimal(number)
                .setScale(Math.clamp(digits, -400, 400), mode)
                .doubleValue();
    }

    /// Python's `int(text)`, or null where it is none.
    static Value parseInt(String text, int base) {
        String digits = Characters.strip(text).replace("_", "");
        try {
            String unsigned = digits.startsWith("-") || digits.startsWith("+") ? digits.substring(1) : digits;
            String prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
            if (!prefix.isEmpty() && unsigned.toLowerCase(java.util.Locale.ROOT).startsWith(prefix)) {
                unsigned = unsigned.substring(2);
            }
            if (unsigned.startsWith("-") || unsigned.startsWith("+")) {
                return null;
            }
            long value = Long.parseLong(unsigned, base);
            return Value.of(digits.startsWith("-") ? -value : value);
        } catch (NumberFormatException e) {
            return null;
        }
    }

    /// Python's `float(text)`, or null where it is none.
    static Value parseReal(String text) {
        String digits = Characters.strip(text).replace("_", "").toLowerCase(java.util.Locale.ROOT);
        String unsigned = digits.startsWith("-") || digits.startsWith("+") ? digits.substring(1) : digits;
        double sign = digits.startsWith("-") ? -1 : 1;
        if (unsigned.equals("nan")) {
            return new Value.Real(Double.NaN);
        }
        if (unsigned.equals("inf") || unsigned.equals("infinity")) {
            return new Value.Real(sign * Double.POSITIVE_INFINITY);
        }
        if (unsigned.isEmpty() || !unsigned.chars().allMatch(letter -> "0123456789.e+-".indexOf(letter) >= 0)) {
            return null;
        }
        try {
            return new Value.Real(sign * Double.parseDouble(unsigned));
        } catch (NumberFormatException e) {
            return null;
        }
    }
}
