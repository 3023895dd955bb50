package io.penstock.shard.backend.cuda.ptx;

import java.util.Arrays;

/// 32 threads: their registers and where they stand. Those at the same instruction run it together; of several places
/// the
/// first in the text goes first, and now and then another one, so that no thread waits for ever for one of its own
/// warp.
final class Warp {
    static final int LANES = 32;
    private static final int NONE = Integer.MAX_VALUE;

    final Block block;
    final Launch launch;
    final int number;
    /// As [Clocks] has it: itself, its warpgroup's products, its bulk stores.
    final int actor;

    final int productActor;
    final int storeActor;
    final Registers registers;
    /// 32 bits and fewer, `[register, lane]`; smaller ones have zeros above.
    final int[] r;
    /// 64 bits, `[register, lane]`.
    final long[] l;
    /// Predicates, a bit a lane.
    final int[] p;
    /// Carries, a bit a lane.
    int carry;
    final byte[] local;
    /// Of each thread.
    final CopyGroups[] copies = new CopyGroups[LANES];
    private final Op[] code;
    /// Of threads that are not in the group that runs.
    private final int[] places = new int[LANES];
    private int pc;
    private int active;
    private int alive;
    private int waiting;
    private int nextOther = NONE;
    private Op current;
    /// At a barrier of the block.
    boolean blocked;
    /// An instruction could not be done yet, and is to be done later.
    boolean again;
    /// At the cluster's barrier: the phase that it has come to the end of.
    int clusterPhase;
    /// By one thread.
    private final CopyGroups stores = new CopyGroups();
    private int storing = -1;
    /// What it waits for has not come: others should run.
    boolean yielding;

    Warp(Block block, int number, int threads, Registers registers) {
        this.block = block;
        this.number = number;
        actor = block.rank * block.warps.length + number;
        int warpgroups = (block.warps.length + Block.GROUP - 1) / Block.GROUP;
        productActor = block.cluster.clocks.productActor(block.rank * warpgroups + number / Block.GROUP);
        storeActor = block.cluster.clocks.storeActor(actor);
        this.registers = registers;
        launch = block.launch;
        code = launch.program.code();
        r = registers.ints;
        l = registers.longs;
        p = registers.predicates;
        Arrays.setAll(copies, _ -> new CopyGroups());
        local = new byte[launch.program.localBytes() * LANES];
        alive = threads >= LANES ? -1 : (1 << threads) - 1;
        active = alive;
    }

    /// Of a warp, reused by later ones.
    static final class Registers {
        final int[] ints;
        final long[] longs;
        final int[] predicates;

        Registers(Program program) {
            ints = new int[program.ints() * LANES];
            longs = new long[program.longs() * LANES];
            predicates = new int[program.predicates()];
            program.constants().forEach((value, row) -> Arrays.fill(ints, row, row + LANES, value));
            program.longConstants().forEach((value, row) -> Arrays.fill(longs, row, row + LANES, value));
            if (predicates.length > Program.TRUE) {
                predicates[Program.TRUE] = -1;
            }
        }
    }

    boolean done() {
        return alive == 0;
    }

    int threads() {
        return Integer.bitCount(alive);
    }

    /// Runs until so many instructions are done, or it has to wait.
    void run(int budget) {
        yielding = false;
        launch.stepping(this);
        int left = budget;
        if (active != (alive & ~waiting) || active == 0) {
            regroup(launch.random.nextInt(4) == 0);
        }
        Op op = null;
        try {
            long executed = 0;
            while (left-- > 0 && !blocked && !yielding) {
                if (pc >= nextOther) {
                    regroup(false);
                }
                op = code[pc];
                current = op;
                int mask = active;
                if (op.guard >= 0) {
                    mask &= op.guardNot ? ~p[op.guard] : p[op.guard];
                }
                executed += Integer.bitCount(mask);
                switch (op.kind) {
                    case PLAIN -> {
                        if (mask != 0) {
                            op.run(this, mask);
                        }
                        pc++;
                    }
                    case BRANCH -> branch(op, mask);
                    case EXIT -> {
                        alive &= ~mask;
                        active &= ~mask;
                        pc++;
                        if (active == 0) {
                            if (alive == 0) {
                                block.left(this);
                                break;
                            }
                            regroup(false);
                        }
                    }
                    case TOGETHER -> together(op, mask);
                }
                if (alive == 0) {
                    break;
                }
            }
            launch.executed += executed;
            launch.instructions += budget - Math.max(0, left);
        } catch (PtxFault fault) {
            throw launch.located(fault, this, op);
        } catch (ArithmeticException | IndexOutOfBoundsException | NullPointerException e) {
            throw launch.located(new PtxFault(e.toString(), e), this, op);
        }
    }

    private void branch(Op op, int taken) {
        if (taken == active) {
            pc = op.target;
        } else if (taken == 0) {
            pc++;
        } else {
            place(active & ~taken, pc + 1);
            place(taken, op.target);
            active = 0;
            regroup(false);
        }
    }

    private void place(int mask, int at) {
        for (int m = mask; m != 0; m &= m - 1) {
            places[Integer.numberOfTrailingZeros(m)] = at;
        }
    }

    private int standing(int mask, int at) {
        int there = 0;
        for (int m = mask; m != 0; m &= m - 1) {
            int lane = Integer.numberOfTrailingZeros(m);
            there |= places[lane] == at ? 1 << lane : 0;
        }
        return there;
    }

    private int first(int mask) {
        int least = NONE;
        for (int m = mask; m != 0; m &= m - 1) {
            least = Math.min(least, places[Integer.numberOfTrailingZeros(m)]);
        }
        return least;
    }

    /// Chooses who runs next, of those that can.
    private void regroup(boolean any) {
        place(active, pc);
        int runnable = alive & ~waiting;
        if (runnable == 0) {
            release();
            runnable = alive & ~waiting;
            if (runnable == 0) {
                if (alive == 0) {
                    return;
                }
                throw new PtxFault("threads of a warp wait for ever: %s", whereabouts());
            }
        }
        if (any) {
            int skipped = launch.random.nextInt(Integer.bitCount(runnable));
            int m = runnable;
            for (int i = 0; i < skipped; i++) {
                m &= m - 1;
            }
            pc = places[Integer.numberOfTrailingZeros(m)];
        } else {
            pc = first(runnable);
        }
        active = standing(runnable, pc);
        nextOther = first(runnable & ~active);
        if (nextOther < pc) {
            // Until this turn ends.
            nextOther = NONE;
        }
    }

    /// Those that wait for threads that have left since go on.
    private void release() {
        for (int m = waiting; m != 0; m &= m - 1) {
            int lane = Integer.numberOfTrailingZeros(m);
            Op op = code[places[lane]];
            int here = standing(waiting, places[lane]);
            int need = op.members(this, here) & alive;
            if ((need & ~here) == 0) {
                waiting &= ~need;
                return;
            }
        }
    }

    private void together(Op op, int mask) {
        if (mask != active) {
            place(active & ~mask, pc + 1);
            active = mask;
            nextOther = Math.min(nextOther, pc + 1);
            if (mask == 0) {
                regroup(false);
                return;
            }
        }
        int need = op.members(this, active) & alive;
        if ((active & ~need) != 0) {
            throw new PtxFault(
                    "thread %d is not in its own mask %x", Integer.numberOfTrailingZeros(active & ~need), need);
        }
        if ((need & ~active) != 0) {
            place(active, pc);
            waiting |= active;
            int here = op instanceof WarpOps.WarpBarrier ? barriers(need) : standing(waiting, pc);
            if ((need & ~here) != 0) {
                active = 0;
                regroup(false);
                return;
            }
            waiting &= ~need;
            if (op instanceof WarpOps.WarpBarrier) {
                for (int m = need; m != 0; m &= m - 1) {
                    places[Integer.numberOfTrailingZeros(m)]++;
                }
                active = 0;
                regroup(false);
                return;
            }
            active = need;
            nextOther = first(alive & ~waiting & ~active);
            if (nextOther <= pc) {
                nextOther = NONE;
            }
        }
        op.run(this, active);
        if (again) {
            again = false;
            yielding = true;
        } else {
            pc++;
        }
    }

    /// Bulk stores of a thread: threads of a warp are taken for one.
    CopyGroups stores(int lane) {
        if (storing >= 0 && storing != lane) {
            throw new PtxFault("bulk stores by threads %d and %d of a warp: not interpreted", storing, lane);
        }
        storing = lane;
        return stores;
    }

    void awaitStores(int lane, int left) {
        CopyGroups all = stores(lane);
        all.await(left);
        block.cluster.clocks.pass(actor, storeActor, all.count() - left);
    }

    boolean storesPending() {
        return stores.pending();
    }

    /// Of its warpgroup.
    Products products() {
        return block.products(this);
    }

    /// Threads that wait at any barrier of the warp with this mask.
    private int barriers(int need) {
        int here = 0;
        for (int m = waiting & need; m != 0; m &= m - 1) {
            int lane = Integer.numberOfTrailingZeros(m);
            Op op = code[places[lane]];
            here |= op instanceof WarpOps.WarpBarrier && (op.members(this, 1 << lane) & alive) == need ? 1 << lane : 0;
        }
        return here;
    }

    /// For people: at which lines which threads are.
    String whereabouts() {
        if (alive == 0) {
            return "has ended";
        }
        place(active, pc);
        StringBuilder text = new StringBuilder();
        int left = alive;
        while (left != 0) {
            int at = first(left);
            int here = standing(left, at);
            left &= ~here;
            // Who is at a barrier has done it already.
            at = blocked ? at - 1 : at;
            text.append("%s%08x at line %d (%s)%s"
                    .formatted(
                            text.isEmpty() ? "" : ", ",
                            here,
                            code[at].line,
                            code[at].text,
                            (here & waiting) != 0 ? " waiting for others" : blocked ? " at a barrier" : ""));
        }
        return text.toString();
    }

    /// Sets a predicate for some threads.
    void decide(int predicate, int mask, int holds) {
        p[predicate] = (p[predicate] & ~mask) | (holds & mask);
    }

    long local(int lane, int offset, int size) {
        int at = lane * launch.program.localBytes() + offset;
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = (value << 8) | (local[at + i] & 0xff);
        }
        return value;
    }

    void putLocal(int lane, int offset, int size, long value) {
        int at = lane * launch.program.localBytes() + offset;
        for (int i = 0; i < size; i++) {
            local[at + i] = (byte) (value >>> (8 * i));
        }
    }

    /// Of the text, where it is.
    int line() {
        return current.line;
    }

    int activeThreads() {
        return active;
    }

    /// Whether all threads that are left stand here.
    boolean whole(int mask) {
        return mask == alive;
    }
}
