package io.penstock.shard.backend.cuda.ptx;

import io.penstock.shard.backend.cuda.ptx.Op.Kind;
import java.util.List;

/// What blocks of a cluster do with one another. A shared address of another block has that one's number, from 1 on, in
/// its upper byte; one without is this block's own.
final class ClusterOps {
    private static final int RANK_SHIFT = 24;

    private final Names names;

    ClusterOps(Names names) {
        this.names = names;
    }

    Op of(String opcode, List<String> o) {
        return switch (opcode) {
            case "mapa.shared::cluster.u32" -> {
                int d = names.int32(o.get(0));
                yield Lanes.i2(
                        d,
                        names.int32(o.get(1)),
                        names.int32(o.get(2)),
                        (address, rank) -> address | (rank + 1) << RANK_SHIFT);
            }
            case "mbarrier.arrive.shared::cluster.b64", "mbarrier.arrive.release.cluster.shared::cluster.b64" -> {
                int at = names.int32(Names.address(o.get(1))[0]);
                yield Op.of((w, mask) -> {
                    for (int m = mask; m != 0; m &= m - 1) {
                        int address = w.r[at + Integer.numberOfTrailingZeros(m)];
                        int rank = address >>> RANK_SHIFT;
                        Block block = rank == 0 ? w.block : w.block.cluster.block(rank - 1);
                        block.copyBarrier(address & (1 << RANK_SHIFT) - 1).arrive(w.actor);
                        w.launch.progress++;
                    }
                });
            }
            case "barrier.cluster.arrive.release.aligned", "barrier.cluster.arrive.aligned" ->
                Op.of(Kind.TOGETHER, (w, _) -> w.block.cluster.arrive(w));
            case "barrier.cluster.wait.acquire.aligned", "barrier.cluster.wait.aligned" ->
                Op.of(Kind.TOGETHER, (w, _) -> w.again = !w.block.cluster.await(w));
            default -> null;
        };
    }
}
