package io.penstock.shard.backend.cuda.ptx;

import io.penstock.shard.backend.cuda.ptx.Op.Kind;
import java.util.List;

/// What the threads of a warp or a block do together.
final class WarpOps {
    private final Names names;

    WarpOps(Names names) {
        this.names = names;
    }

    Op of(String opcode, String[] parts, List<String> o) {
        return switch (parts[0]) {
            case "shfl" -> shuffle(parts, o);
            case "vote" -> vote(parts, o);
            case "bar", "barrier" -> barrier(opcode, o);
            default -> null;
        };
    }

    /// With a mask of those who take part.
    abstract static class Masked extends Op {
        private final int mask;

        Masked(int mask) {
            super(Kind.TOGETHER);
            this.mask = mask;
        }

        @Override
        int members(Warp w, int here) {
            return w.r[mask + Integer.numberOfTrailingZeros(here)];
        }
    }

    /// `bar.warp.sync`: each thread may come to another one of them.
    static final class WarpBarrier extends Masked {
        WarpBarrier(int mask) {
            super(mask);
        }

        @Override
        void run(Warp w, int mask) {
            // To come together was all.
        }
    }

    private Op shuffle(String[] parts, List<String> o) {
        if (!parts[1].equals("sync") || !parts[3].equals("b32")) {
            return null;
        }
        String how = parts[2];
        String[] results = o.get(0).split("\\|");
        int d = names.int32(results[0]);
        int p = results.length > 1 ? names.predicate(results[1]) : -1;
        int a = names.int32(o.get(1));
        int b = names.int32(o.get(2));
        int c = names.int32(o.get(3));
        return new Masked(names.int32(o.get(4))) {
            private final int[] from = new int[Warp.LANES];

            @Override
            void run(Warp w, int mask) {
                System.arraycopy(w.r, a, from, 0, Warp.LANES);
                int inside = 0;
                for (int m = mask; m != 0; m &= m - 1) {
                    int lane = Integer.numberOfTrailingZeros(m);
                    int by = w.r[b + lane] & 31;
                    int clamp = w.r[c + lane] & 31;
                    int segment = (w.r[c + lane] >> 8) & 31;
                    int last = (lane & segment) | (clamp & ~segment);
                    int first = lane & segment;
                    int source = switch (how) {
                        case "up" -> lane - by;
                        case "down" -> lane + by;
                        case "bfly" -> lane ^ by;
                        case "idx" -> first | (by & ~segment);
                        default -> throw new PtxFault("unknown shuffle %s", how);
                    };
                    boolean within = how.equals("up") ? source >= last : source <= last;
                    source = within ? source : lane;
                    if ((mask >>> source & 1) == 0) {
                        throw new PtxFault("thread %d shuffles with thread %d, which does not take part", lane, source);
                    }
                    w.r[d + lane] = from[source];
                    inside |= within ? 1 << lane : 0;
                }
                if (p >= 0) {
                    w.decide(p, mask, inside);
                }
            }
        };
    }

    private Op vote(String[] parts, List<String> o) {
        boolean ballot = parts[2].equals("ballot");
        int d = ballot ? names.int32(o.get(0)) : names.predicate(o.get(0));
        boolean not = o.get(1).startsWith("!");
        int a = names.predicate(not ? o.get(1).substring(1) : o.get(1));
        String how = parts[2];
        return new Masked(names.int32(o.get(2))) {
            @Override
            void run(Warp w, int mask) {
                int yes = (not ? ~w.p[a] : w.p[a]) & mask;
                if (ballot) {
                    for (int m = mask; m != 0; m &= m - 1) {
                        w.r[d + Integer.numberOfTrailingZeros(m)] = yes;
                    }
                    return;
                }
                boolean result = switch (how) {
                    case "any" -> yes != 0;
                    case "all" -> yes == mask;
                    default -> throw new PtxFault("unknown vote %s", how);
                };
                w.decide(d, mask, (result ? mask : 0));
            }
        };
    }

    private Op barrier(String opcode, List<String> o) {
        if (opcode.equals("bar.warp.sync")) {
            return new WarpBarrier(names.int32(o.get(0)));
        }
        boolean waits = opcode.equals("bar.sync") || opcode.equals("barrier.sync.aligned");
        if (!waits && !opcode.equals("bar.arrive")) {
            return null;
        }
        int id = names.int32(o.get(0));
        int count = o.size() > 1 ? names.int32(o.get(1)) : -1;
        return Op.of(Kind.TOGETHER, (w, mask) -> {
            int lane = Integer.numberOfTrailingZeros(mask);
            w.block.arrive(w, w.r[id + lane], count < 0 ? 0 : w.r[count + lane], waits);
        });
    }
}
