package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// PTX text, taken apart: functions, their statements, and what is declared for all of them.
final class PtxModule {
    private static final Pattern FUNCTION = Pattern.compile(
            "\\.(entry|func)\\s*(?:\\(([^)]*)\\))?\\s*([\\w$]+)\\s*\\(([^)]*)\\)\\s*([^{;]*)", Pattern.DOTALL);
    private static final Pattern VARIABLE = Pattern.compile(
            "\\.(shared|global|const|local|param)\\s+(?:\\.align\\s+(\\d+)\\s+)?\\.(\\w+)\\s+([\\w$]+)(?:\\[(\\d*)])?"
                    + "(?:\\s*=\\s*\\{([^}]*)})?");

    /// @param bytes of its content, or null where it has none
    record Variable(String space, String name, int align, int size, byte[] bytes) {}

    /// One instruction.
    ///
    /// @param guard name of the predicate, or null
    record Statement(int line, String guard, boolean guardNot, String opcode, List<String> operands, String text) {}

    /// What a body consists of.
    sealed interface Piece {}

    record Instruction(Statement statement) implements Piece {}

    record Label(String name) implements Piece {}

    record Registers(String type, String name, int count) implements Piece {}

    record Declared(Variable variable) implements Piece {}

    record Open() implements Piece {}

    record Close() implements Piece {}

    /// A function, its body taken apart when it is asked for.
    ///
    /// @param cluster blocks of one, all of them by x
    record Function(
            String name,
            boolean entry,
            List<Variable> results,
            List<Variable> parameters,
            int threads,
            int cluster,
            Supplier<List<Piece>> text) {
        List<Piece> body() {
            return text.get();
        }
    }

    private final Map<String, Function> functions = new LinkedHashMap<>();
    private final Map<String, Variable> variables = new HashMap<>();

    private final String text;
    private int at;
    private int line = 1;

    PtxModule(String source) {
        // Comments become blanks, so that lines keep their numbers.
        text = Pattern.compile("//[^\n]*").matcher(source).replaceAll("");
        StringBuilder head = new StringBuilder();
        while (at < text.length()) {
            char c = next();
            if (c == '{' && head.indexOf("=") < 0) {
                function(head.toString());
                head.setLength(0);
            } else if (c == ';') {
                declare(head.toString());
                head.setLength(0);
            } else {
                head.append(c);
            }
        }
    }

    Function function(String name, boolean entry) {
        Function function = functions.get(name);
        if (function == null || function.entry != entry) {
            throw new PtxFault("there is no %s among %s", name, functions.keySet());
        }
        return function;
    }

    Map<String, Function> functions() {
        return functions;
    }

    Map<String, Variable> variables() {
        return variables;
    }

    private char next() {
        char c = text.charAt(at++);
        line += c == '\n' ? 1 : 0;
        return c;
    }

    private void declare(String head) {
        Matcher matcher = VARIABLE.matcher(head);
        if (matcher.find() && !head.contains(".func")) {
            Variable variable = variable(matcher);
            variables.put(variable.name, variable);
        }
    }

    private static Variable variable(Matcher matcher) {
        int each = elementBytes(matcher.group(3));
        String count = matcher.group(5);
        int size = count == null ? each : count.isEmpty() ? 0 : each * Integer.parseInt(count);
        byte[] bytes = null;
        if (matcher.group(6) != null) {
            if (each != 1) {
                throw new PtxFault("contents of %s: only bytes are read", matcher.group(4));
            }
            bytes = new byte[size];
            String[] values = matcher.group(6).split(",");
            for (int i = 0; i < values.length; i++) {
                bytes[i] = (byte) Integer.parseInt(values[i].strip());
            }
        }
        int align = matcher.group(2) == null ? each : Integer.parseInt(matcher.group(2));
        return new Variable(matcher.group(1), matcher.group(4), align, size, bytes);
    }

    static int elementBytes(String type) {
        return type.equals("pred") ? 1 : Integer.parseInt(type.replaceAll("\\D", "")) / 8;
    }

    private static List<Variable> parameters(String list) {
        List<Variable> all = new ArrayList<>();
        if (list != null) {
            Matcher matcher = VARIABLE.matcher(list);
            while (matcher.find()) {
                all.add(variable(matcher));
            }
        }
        return all;
    }

    private void function(String head) {
        Matcher matcher = FUNCTION.matcher(head);
        if (!matcher.find()) {
            throw new PtxFault("line %d: no function: %s", line, head.strip());
        }
        Matcher threads = Pattern.compile("\\.maxntid\\s+(\\d+)").matcher(matcher.group(5));
        Matcher cluster = Pattern.compile("\\.reqnctapercluster\\s+(\\d+)(?:\\s*,\\s*(\\d+)\\s*,\\s*(\\d+))?")
                .matcher(matcher.group(5));
        boolean clustered = cluster.find();
        if (clustered && cluster.group(2) != null && !(cluster.group(2) + cluster.group(3)).equals("11")) {
            throw new PtxFault("line %d: clusters by y or z: not interpreted", line);
        }
        int from = at;
        int first = line;
        skip();
        Supplier<List<Piece>> body = () -> {
            synchronized (this) {
                at = from;
                line = first;
                return body();
            }
        };
        functions.put(
                matcher.group(3),
                new Function(
                        matcher.group(3),
                        matcher.group(1).equals("entry"),
                        parameters(matcher.group(2)),
                        parameters(matcher.group(4)),
                        threads.find() ? Integer.parseInt(threads.group(1)) : 1024,
                        clustered ? Integer.parseInt(cluster.group(1)) : 1,
                        body));
    }

    private void skip() {
        for (int depth = 1; depth > 0; ) {
            char c = next();
            depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        }
    }

    private List<Piece> body() {
        List<Piece> pieces = new ArrayList<>();
        StringBuilder statement = new StringBuilder();
        int depth = 0;
        int began = line;
        while (true) {
            char c = next();
            boolean blank = statement.isEmpty();
            if (blank && Character.isWhitespace(c)) {
                continue;
            }
            if (blank) {
                began = line;
            }
            if (blank && c == '{') {
                pieces.add(new Open());
                depth++;
            } else if (blank && c == '}') {
                if (depth-- == 0) {
                    return pieces;
                }
                pieces.add(new Close());
            } else if (c == ':' && statement.charAt(0) == '$' && text.charAt(at) != ':') {
                pieces.add(new Label(statement.toString()));
                statement.setLength(0);
            } else if (c == ';') {
                piece(statement.toString().strip().replaceAll("\\s+", " "), began, pieces);
                statement.setLength(0);
            } else {
                statement.append(c);
            }
        }
    }

    private static void piece(String text, int line, List<Piece> pieces) {
        if (text.startsWith(".pragma")) {
            return;
        }
        if (text.startsWith(".reg")) {
            String[] parts = text.split(" ", 3);
            for (String name : parts[2].split(",")) {
                Matcher many = Pattern.compile("(.+)<(\\d+)>").matcher(name.strip());
                boolean counted = many.matches();
                pieces.add(new Registers(
                        parts[1].substring(1),
                        counted ? many.group(1) : name.strip(),
                        counted ? Integer.parseInt(many.group(2)) : 0));
            }
            return;
        }
        if (text.startsWith(".")) {
            Matcher matcher = VARIABLE.matcher(text);
            if (!matcher.find()) {
                throw new PtxFault("line %d: unknown declaration: %s", line, text);
            }
            pieces.add(new Declared(variable(matcher)));
            return;
        }
        String rest = text;
        String guard = null;
        boolean not = false;
        if (rest.startsWith("@")) {
            int end = rest.indexOf(' ');
            not = rest.charAt(1) == '!';
            guard = rest.substring(not ? 2 : 1, end);
            rest = rest.substring(end + 1).strip();
        }
        int end = rest.indexOf(' ');
        String opcode = end < 0 ? rest : rest.substring(0, end);
        List<String> operands = end < 0 ? List.of() : split(rest.substring(end + 1));
        pieces.add(new Instruction(new Statement(line, guard, not, opcode, operands, text)));
    }

    /// What commas outside of brackets and braces part.
    static List<String> split(String list) {
        List<String> parts = new ArrayList<>();
        int depth = 0;
        int from = 0;
        for (int i = 0; i < list.length(); i++) {
            char c = list.charAt(i);
            depth += "[{(".indexOf(c) >= 0 ? 1 : "]})".indexOf(c) >= 0 ? -1 : 0;
            if (c == ',' && depth == 0) {
                parts.add(list.substring(from, i).strip());
                from = i + 1;
            }
        }
        parts.add(list.substring(from).strip());
        return parts;
    }
}
