package io.penstock.shard.backend.cuda.ptx;

import io.penstock.shard.backend.cuda.ptx.PtxModule.Registers;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// What names mean while a kernel is translated: places in the register files, handed out at first sight.
final class Names {
    private static final Pattern NUMBERED = Pattern.compile("(%?[A-Za-z_$]+)(\\d+)");
    private static final Pattern INTEGER = Pattern.compile("-?(0[xX][0-9a-fA-F]+|\\d+)U?");
    private static final Pattern SPECIAL =
            Pattern.compile("%(tid|ntid|ctaid|nctaid)\\.[xyz]|%cluster_ctarank|%laneid|%warpid");

    private enum File {
        INT,
        LONG,
        PREDICATE
    }

    /// @param place where its row begins
    private record Register(File file, int place) {}

    private static final class Scope {
        final Map<String, Register> registers = new HashMap<>();
        final Map<String, Registers> declared = new HashMap<>();
    }

    private final Deque<Scope> scopes = new ArrayDeque<>();
    final Map<Integer, Integer> constants = new HashMap<>();
    final Map<Long, Integer> longConstants = new HashMap<>();
    final Map<String, Integer> specials = new HashMap<>();
    private final Function<String, Long> symbols;
    int ints;
    int longs;
    int predicates = 1;

    /// @param symbols addresses of variables, null for other names
    Names(Function<String, Long> symbols) {
        this.symbols = symbols;
        open();
    }

    void open() {
        scopes.push(new Scope());
    }

    void close() {
        scopes.pop();
    }

    void declare(Registers registers) {
        scopes.peek().declared.put(registers.name(), registers);
    }

    private static File file(String type) {
        return type.equals("pred") ? File.PREDICATE : type.endsWith("64") ? File.LONG : File.INT;
    }

    private Register find(String name) {
        for (Scope scope : scopes) {
            Register register = scope.registers.get(name);
            if (register != null) {
                return register;
            }
            Registers declared = scope.declared.get(name);
            if (declared == null || declared.count() != 0) {
                Matcher matcher = NUMBERED.matcher(name);
                declared = matcher.matches() ? scope.declared.get(matcher.group(1)) : null;
                if (declared != null && (declared.count() <= Integer.parseInt(matcher.group(2)))) {
                    declared = null;
                }
            }
            if (declared != null) {
                register = create(declared.type());
                scope.registers.put(name, register);
                return register;
            }
        }
        return null;
    }

    private Register create(String type) {
        File file = file(type);
        return new Register(
                file,
                switch (file) {
                    case INT -> Warp.LANES * ints++;
                    case LONG -> Warp.LANES * longs++;
                    case PREDICATE -> predicates++;
                });
    }

    private int place(String name, File file) {
        Register register = find(name);
        if (register == null || register.file != file) {
            throw new PtxFault("%s is %s, not %s", name, register == null ? "unknown" : register.file, file);
        }
        return register.place;
    }

    /// A predicate.
    int predicate(String name) {
        return place(name, File.PREDICATE);
    }

    /// Whether a register of 64 bits.
    boolean isLong(String name) {
        Register register = find(name);
        return register != null && register.file == File.LONG;
    }

    /// A register of up to 32 bits, or one that holds a constant.
    int int32(String operand) {
        if (operand.equals("_")) {
            return scratch(File.INT);
        }
        if (SPECIAL.matcher(operand).matches()) {
            return specials.computeIfAbsent(operand, _ -> Warp.LANES * ints++);
        }
        Long value = value(operand);
        if (value == null) {
            return place(operand, File.INT);
        }
        return constants.computeIfAbsent((int) (long) value, _ -> Warp.LANES * ints++);
    }

    /// The same of 64 bits.
    int int64(String operand) {
        if (operand.equals("_")) {
            return scratch(File.LONG);
        }
        Long value = value(operand);
        if (value == null) {
            return place(operand, File.LONG);
        }
        return longConstants.computeIfAbsent(value, _ -> Warp.LANES * longs++);
    }

    private int scratch(File file) {
        return create(file == File.LONG ? "b64" : "b32").place;
    }

    int of(String operand, boolean wide) {
        return wide ? int64(operand) : int32(operand);
    }

    private Long value(String operand) {
        if (operand.startsWith("0f") || operand.startsWith("0F")) {
            return (long) Integer.parseUnsignedInt(operand.substring(2), 16);
        }
        if (operand.startsWith("0d") || operand.startsWith("0D")) {
            return Long.parseUnsignedLong(operand.substring(2), 16);
        }
        if (INTEGER.matcher(operand).matches()) {
            return number(operand);
        }
        return find(operand) == null ? symbols.apply(operand) : null;
    }

    static long number(String text) {
        String plain = text.endsWith("U") ? text.substring(0, text.length() - 1) : text;
        boolean negative = plain.startsWith("-");
        String digits = negative ? plain.substring(1) : plain;
        BigInteger value = digits.startsWith("0x") || digits.startsWith("0X")
                ? new BigInteger(digits.substring(2), 16)
                : new BigInteger(digits);
        return (negative ? value.negate() : value).longValue();
    }

    /// Parts of `[base+offset]`: base may be empty.
    ///
    /// @return base and offset
    static String[] address(String operand) {
        String inner = operand.substring(1, operand.length() - 1).strip();
        int plus = inner.lastIndexOf('+');
        if (plus > 0) {
            return new String[] {
                inner.substring(0, plus).strip(), inner.substring(plus + 1).strip()
            };
        }
        return new String[] {inner, "0"};
    }
}
