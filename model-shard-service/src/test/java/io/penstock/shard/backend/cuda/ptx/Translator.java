package io.penstock.shard.backend.cuda.ptx;

import io.penstock.shard.backend.cuda.ptx.Op.Kind;
import io.penstock.shard.backend.cuda.ptx.PtxModule.Function;
import io.penstock.shard.backend.cuda.ptx.PtxModule.Piece;
import io.penstock.shard.backend.cuda.ptx.PtxModule.Statement;
import io.penstock.shard.backend.cuda.ptx.PtxModule.Variable;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Makes a [Program] of a kernel: names become places in register files, functions are put where they are called.
final class Translator {
    private static final Pattern CALL =
            Pattern.compile("call\\.uni \\(([\\w$]+)\\), ([\\w$]+), \\( ?([\\w$, ]+?) ?\\)");

    private final PtxModule module;
    private final DeviceSpace space;
    private final Map<String, Long> globals;
    private final Names names = new Names(this::symbol);
    private final List<Op> code = new ArrayList<>();
    private final Map<String, Long> addresses = new HashMap<>();
    private final Map<String, Integer> parameters = new HashMap<>();
    /// Of functions: places of what they are given and give back.
    private final Map<String, Integer> passed = new HashMap<>();
    private final Map<String, String> renamed = new HashMap<>();
    private int sharedEnd = SharedMemory.BASE;
    private int localEnd;

    /// @param globals addresses of variables of the module, filled as they are met
    Translator(PtxModule module, DeviceSpace space, Map<String, Long> globals) {
        this.module = module;
        this.space = space;
        this.globals = globals;
    }

    Program translate(String name) {
        Function function = module.function(name, true);
        int[] offsets = new int[function.parameters().size()];
        int[] sizes = new int[offsets.length];
        int end = 0;
        for (int i = 0; i < offsets.length; i++) {
            Variable parameter = function.parameters().get(i);
            offsets[i] = aligned(end, parameter.align());
            sizes[i] = parameter.size();
            end = offsets[i] + sizes[i];
            parameters.put(parameter.name(), offsets[i]);
        }
        // Static shared variables lie before those whose size the launch says.
        for (Piece piece : function.body()) {
            if (piece instanceof PtxModule.Declared(Variable variable)
                    && variable.space().equals("shared")) {
                place(variable);
            }
        }
        body(function, null);
        code.add(exit());
        return new Program(
                name,
                code.toArray(Op[]::new),
                function.threads(),
                function.cluster(),
                names.ints,
                names.longs,
                names.predicates,
                names.constants,
                names.longConstants,
                names.specials,
                sharedEnd - SharedMemory.BASE,
                localEnd,
                offsets,
                sizes);
    }

    private static int aligned(int at, int to) {
        return (at + to - 1) / to * to;
    }

    private void place(Variable variable) {
        sharedEnd = aligned(sharedEnd, variable.align());
        addresses.put(variable.name(), (long) sharedEnd);
        sharedEnd += variable.size();
    }

    private Long symbol(String name) {
        Long address = addresses.get(name);
        if (address != null) {
            return address;
        }
        Integer parameter = parameters.get(name);
        if (parameter != null) {
            return MemoryOps.PARAMETER_WINDOW + parameter;
        }
        Variable variable = module.variables().get(name);
        if (variable == null) {
            return null;
        }
        if (variable.space().equals("shared")) {
            place(variable);
            return addresses.get(name);
        }
        if (!variable.space().equals("global")) {
            throw new PtxFault("variables in %s: not interpreted", variable.space());
        }
        return globals.computeIfAbsent(name, _ -> {
            MemorySegment memory = space.allocate(variable.size());
            if (variable.bytes() != null) {
                memory.copyFrom(MemorySegment.ofArray(variable.bytes()));
            } else {
                memory.fill((byte) 0);
            }
            return memory.address();
        });
    }

    /// @param after label behind it, or null for a kernel
    private void body(Function function, String after) {
        Map<String, Integer> labels = new HashMap<>();
        Map<Op, String> branches = new HashMap<>();
        names.open();
        for (Piece piece : function.body()) {
            switch (piece) {
                case PtxModule.Open _ -> names.open();
                case PtxModule.Close _ -> names.close();
                case PtxModule.Registers registers -> names.declare(registers);
                case PtxModule.Label(String label) -> labels.put(label, code.size());
                case PtxModule.Declared(Variable variable) -> {
                    if (variable.space().equals("local")) {
                        localEnd = aligned(localEnd, variable.align());
                        addresses.put(variable.name(), MemoryOps.LOCAL_WINDOW + localEnd);
                        localEnd += variable.size();
                    }
                }
                case PtxModule.Instruction(Statement statement) -> {
                    if (statement.opcode().equals("call.uni")) {
                        call(statement);
                        continue;
                    }
                    Op op;
                    try {
                        op = instruction(statement, after != null);
                    } catch (PtxFault | IndexOutOfBoundsException | NumberFormatException e) {
                        throw new PtxFault(
                                "%s, line %d: %s: %s"
                                        .formatted(function.name(), statement.line(), statement.text(), e.getMessage()),
                                e);
                    }
                    if (op == null) {
                        throw new PtxFault(
                                "%s, line %d: not interpreted: %s",
                                function.name(), statement.line(), statement.text());
                    }
                    op.line = statement.line();
                    op.text = statement.text();
                    if (statement.guard() != null) {
                        op.guard = names.predicate(statement.guard());
                        op.guardNot = statement.guardNot();
                    }
                    if (op.kind == Kind.BRANCH) {
                        branches.put(
                                op,
                                statement.opcode().equals("ret")
                                        ? after
                                        : statement.operands().getFirst());
                    }
                    code.add(op);
                }
            }
        }
        names.close();
        if (after != null) {
            labels.put(after, code.size());
        }
        branches.forEach((op, label) -> op.target = labels.get(label));
    }

    private static Op exit() {
        return Op.of(Kind.EXIT, (_, _) -> {});
    }

    /// A function's body is put here; its parameters are registers.
    private void call(Statement statement) {
        Matcher matcher = CALL.matcher(statement.text());
        if (!matcher.matches()) {
            throw new PtxFault("line %d: not interpreted: %s", statement.line(), statement.text());
        }
        Function function = module.function(matcher.group(2), false);
        renamed.put(function.results().getFirst().name(), matcher.group(1));
        String[] given = matcher.group(3).split(", ?");
        for (int i = 0; i < given.length; i++) {
            renamed.put(function.parameters().get(i).name(), given[i]);
        }
        body(function, "$after" + code.size());
    }

    private Op instruction(Statement statement, boolean inFunction) {
        String opcode = statement.opcode();
        List<String> o = statement.operands();
        String[] parts = opcode.split("\\.");
        switch (opcode) {
            case "bra", "bra.uni" -> {
                return Op.of(Kind.BRANCH, (_, _) -> {});
            }
            case "ret", "exit" -> {
                return inFunction && opcode.equals("ret") ? Op.of(Kind.BRANCH, (_, _) -> {}) : exit();
            }
            case "trap" -> {
                return Op.of((_, _) -> {
                    throw new PtxFault("trap");
                });
            }
            default -> {
                // Below.
            }
        }
        switch (parts[0]) {
            case "fence", "membar", "griddepcontrol", "prefetch" -> {
                return Op.nothing();
            }
            case "createpolicy" -> {
                int d = names.int64(o.getFirst());
                return HotOps.moveLong(d, names.int64("0"));
            }
            case "cvta" -> {
                return cvta(opcode, o);
            }
            case "ld", "st" -> {
                if (parts[1].equals("param")) {
                    Op op = parameter(parts, o);
                    if (op != null) {
                        return op;
                    }
                }
            }
            default -> {
                // Below.
            }
        }
        Op op = new Arithmetic(names).of(opcode, parts, o);
        op = op == null ? new Conversions(names).of(opcode, parts, o) : op;
        op = op == null ? new MemoryOps(names).of(opcode, parts, o) : op;
        op = op == null ? new WarpOps(names).of(opcode, parts, o) : op;
        op = op == null ? new ClusterOps(names).of(opcode, o) : op;
        op = op == null ? new CopyOps(names).of(opcode, o) : op;
        return op == null ? new TensorCores(names).of(opcode, o) : op;
    }

    private Op cvta(String opcode, List<String> o) {
        int d = names.int64(o.get(0));
        int a = names.int64(o.get(1));
        return switch (opcode) {
            case "cvta.shared.u64" -> Lanes.l1(d, a, x -> x | MemoryOps.SHARED_WINDOW);
            case "cvta.to.shared.u64" -> Lanes.l1(d, a, x -> x & ~MemoryOps.SHARED_WINDOW);
            case "cvta.to.global.u64", "cvta.global.u64", "cvta.param.u64", "cvta.local.u64", "cvta.to.local.u64" ->
                HotOps.moveLong(d, a);
            default -> null;
        };
    }

    /// What functions are given; null for a kernel's own parameters.
    private Op parameter(String[] parts, List<String> o) {
        boolean load = parts[0].equals("ld");
        String[] where = Names.address(o.get(load ? 1 : 0));
        if (parameters.containsKey(where[0]) || where[0].startsWith("%")) {
            return null;
        }
        boolean wide = parts[parts.length - 1].endsWith("64");
        String key = renamed.getOrDefault(where[0], where[0]) + "+" + where[1] + (wide ? "l" : "i");
        int place = passed.computeIfAbsent(key, _ -> wide ? Warp.LANES * names.longs++ : Warp.LANES * names.ints++);
        int register = names.of(o.get(load ? 0 : 1), wide);
        int to = load ? register : place;
        int from = load ? place : register;
        return wide ? HotOps.moveLong(to, from) : HotOps.move(to, from);
    }
}
