package io.penstock.shard.backend.cuda.ptx;

import java.util.List;

/// Copies that threads start and do not wait for, the barriers that count their bytes, and what asks for memory ahead.
final class CopyOps {
    private static final int PIECE = 16;

    private final Names names;

    CopyOps(Names names) {
        this.names = names;
    }

    Op of(String opcode, List<String> o) {
        if (opcode.startsWith("mbarrier.")) {
            return barrier(opcode, o);
        }
        if (opcode.startsWith("cp.async.bulk.prefetch.tensor.3d.")) {
            return boxFetch(o);
        }
        if (opcode.startsWith("cp.async.bulk.prefetch.L2.")) {
            return bulkFetch(o);
        }
        if (opcode.startsWith("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes")) {
            return boxCopy(o, opcode.contains(".multicast::cluster"));
        }
        if (opcode.equals("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group")) {
            return boxStore(o);
        }
        if (opcode.startsWith("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes")) {
            return bulkCopy(o);
        }
        return switch (opcode) {
            case "cp.async.cg.shared.global", "cp.async.ca.shared.global" -> copy(o);
            case "cp.async.commit_group" -> each((w, lane) -> w.copies[lane].commit());
            case "cp.async.wait_group" -> {
                int left = Integer.parseInt(o.get(0));
                yield each((w, lane) -> w.copies[lane].await(left));
            }
            case "cp.async.bulk.commit_group" ->
                each((w, lane) -> w.stores(lane).commit());
            case "cp.async.bulk.wait_group.read", "cp.async.bulk.wait_group" -> {
                int left = Integer.parseInt(o.get(0));
                yield each((w, lane) -> w.awaitStores(lane, left));
            }
            default -> null;
        };
    }

    /// A register that holds a shared address.
    private int shared(String operand) {
        String[] parts = Names.address(operand);
        if (!parts[1].equals("0")) {
            throw new PtxFault("an offset in %s: not interpreted", operand);
        }
        return names.int32(parts[0]);
    }

    private int global(String operand) {
        return names.int64(operand.replaceAll("[\\[\\]]", "").strip());
    }

    private interface Each {
        void run(Warp w, int lane);
    }

    private static Op each(Each each) {
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                each.run(w, Integer.numberOfTrailingZeros(m));
            }
        });
    }

    private Op barrier(String opcode, List<String> o) {
        return switch (opcode) {
            case "mbarrier.init.shared::cta.b64" -> {
                int at = shared(o.get(0));
                int count = names.int32(o.get(1));
                yield each((w, lane) -> w.block.makeCopyBarrier(w.r[at + lane], w.r[count + lane]));
            }
            case "mbarrier.arrive.expect_tx.shared::cta.b64" -> {
                int at = shared(o.get(1));
                int bytes = names.int32(o.get(2));
                yield each((w, lane) -> {
                    CopyBarrier barrier = w.block.copyBarrier(w.r[at + lane]);
                    barrier.expect(w.r[bytes + lane]);
                    barrier.arrive(w.actor);
                    w.launch.progress++;
                });
            }
            case "mbarrier.expect_tx.relaxed.cta.shared::cta.b64", "mbarrier.expect_tx.shared::cta.b64" -> {
                int at = shared(o.get(0));
                int bytes = names.int32(o.get(1));
                yield each((w, lane) -> w.block.copyBarrier(w.r[at + lane]).expect(w.r[bytes + lane]));
            }
            case "mbarrier.arrive.shared::cta.b64" -> {
                int at = shared(o.get(1));
                int count = o.size() > 2 ? names.int32(o.get(2)) : -1;
                yield each((w, lane) -> {
                    CopyBarrier barrier = w.block.copyBarrier(w.r[at + lane]);
                    for (int i = count < 0 ? 1 : w.r[count + lane]; i > 0; i--) {
                        barrier.arrive(w.actor);
                    }
                    w.launch.progress++;
                });
            }
            case "mbarrier.try_wait.parity.shared::cta.b64", "mbarrier.test_wait.parity.shared::cta.b64" -> {
                int p = names.predicate(o.get(0));
                int at = shared(o.get(1));
                int parity = names.int32(o.get(2));
                yield Op.of((w, mask) -> {
                    int passed = 0;
                    for (int m = mask; m != 0; m &= m - 1) {
                        int lane = Integer.numberOfTrailingZeros(m);
                        int which = w.r[parity + lane];
                        if (which != 0 && which != 1) {
                            throw new PtxFault("parity %d", which);
                        }
                        passed |= w.block.copyBarrier(w.r[at + lane]).passed(w.actor, which) ? 1 << lane : 0;
                    }
                    w.yielding |= passed != mask;
                    w.decide(p, mask, passed);
                });
            }
            default -> null;
        };
    }

    /// `cp.async`: 16 bytes, of which the rest behind the source's are zero.
    private Op copy(List<String> o) {
        int to = shared(o.get(0));
        int from = global(o.get(1));
        int size = Integer.parseInt(o.get(2));
        int count = o.size() > 3 ? names.int32(o.get(3)) : -1;
        return each((w, lane) -> {
            int target = w.r[to + lane];
            long source = w.l[from + lane];
            int bytes = count < 0 ? size : w.r[count + lane];
            if (bytes < 0 || bytes > size || target % size != 0 || (bytes > 0 && source % size != 0)) {
                throw new PtxFault("copies %d bytes from %x to shared %d, as %d", bytes, source, target, size);
            }
            if (bytes > 0) {
                w.launch.space.find(source, bytes);
            }
            w.block.shared.expect(w, target, size);
            int line = w.line();
            w.copies[lane].add(() -> {
                int at = w.block.shared.land(target, size, w.actor, w.block.cluster.clocks.clock(w.actor), line);
                for (int i = 0; i < size; i++) {
                    w.block.shared.bytes[at + i] = i < bytes ? byteAt(source + i) : 0;
                }
                w.launch.progress++;
            });
        });
    }

    private static byte byteAt(long address) {
        return DeviceSpace.ALL.get(java.lang.foreign.ValueLayout.JAVA_BYTE, address);
    }

    private static void checkBulk(Warp w, long source, int bytes) {
        if (source % PIECE != 0 || bytes % PIECE != 0 || bytes <= 0) {
            throw new PtxFault("a bulk copy of %d bytes from %x: neither may be less than 16", bytes, source);
        }
        w.launch.space.find(source, bytes);
    }

    private Op bulkCopy(List<String> o) {
        int to = shared(o.get(0));
        int from = global(o.get(1));
        int size = names.int32(o.get(2));
        int at = shared(o.get(3));
        return each((w, lane) -> {
            int target = w.r[to + lane];
            long source = w.l[from + lane];
            int bytes = w.r[size + lane];
            checkBulk(w, source, bytes);
            if (target % PIECE != 0) {
                throw new PtxFault("a bulk copy to shared address %d", target);
            }
            CopyBarrier barrier = w.block.copyBarrier(w.r[at + lane]);
            w.block.shared.expect(w, target, bytes);
            int line = w.line();
            w.block.copy(() -> {
                int place = w.block.shared.land(target, bytes, barrier.actor, barrier.clock(), line);
                java.lang.foreign.MemorySegment.copy(
                        DeviceSpace.ALL,
                        java.lang.foreign.ValueLayout.JAVA_BYTE,
                        source,
                        w.block.shared.bytes,
                        place,
                        bytes);
                barrier.landed(bytes);
            });
        });
    }

    private Op bulkFetch(List<String> o) {
        int from = global(o.get(0));
        int size = names.int32(o.get(1));
        return each((w, lane) -> checkBulk(w, w.l[from + lane], w.r[size + lane]));
    }

    /// Registers of `[map, {x, y, z}]`.
    private int[] box(String operand) {
        List<String> parts = PtxModule.split(operand.substring(1, operand.length() - 1));
        List<String> at = Conversions.list(parts.get(1));
        return new int[] {
            names.int64(parts.get(0)), names.int32(at.get(0)), names.int32(at.get(1)), names.int32(at.get(2))
        };
    }

    private static TensorBox boxOf(Warp w, int lane, int[] registers) {
        return TensorBox.read(w, w.l[registers[0] + lane])
                .at(w.r[registers[1] + lane], w.r[registers[2] + lane], w.r[registers[3] + lane]);
    }

    private Op boxFetch(List<String> o) {
        int[] registers = box(o.get(0));
        return each((w, lane) -> boxOf(w, lane, registers).check(w.launch.space));
    }

    /// @param multicast to the same place in all blocks of the cluster that a mask says
    private Op boxCopy(List<String> o, boolean multicast) {
        int to = shared(o.get(0));
        int[] registers = box(o.get(1));
        int at = shared(o.get(2));
        int blocks = multicast ? names.int32(o.get(3)) : -1;
        return each((w, lane) -> {
            int target = w.r[to + lane];
            TensorBox box = boxOf(w, lane, registers);
            box.check(w.launch.space);
            if (target % 128 != 0) {
                throw new PtxFault("a box to shared address %d, no multiple of 128", target);
            }
            int line = w.line();
            for (Block block : multicast ? w.block.cluster.blocks(w.r[blocks + lane]) : List.of(w.block)) {
                CopyBarrier barrier = block.copyBarrier(w.r[at + lane]);
                block.shared.expect(w, target, box.bytes());
                block.copy(() -> {
                    block.shared.land(target, box.bytes(), barrier.actor, barrier.clock(), line);
                    box.copy(block.shared, target);
                    barrier.landed(box.bytes());
                });
            }
        });
    }

    private Op boxStore(List<String> o) {
        int[] registers = box(o.get(0));
        int from = shared(o.get(1));
        return each((w, lane) -> {
            int source = w.r[from + lane];
            TensorBox box = boxOf(w, lane, registers);
            box.check(w.launch.space);
            if (source % 128 != 0) {
                throw new PtxFault("a box from shared address %d, no multiple of 128", source);
            }
            CopyGroups stores = w.stores(lane);
            w.block.shared.readForStore(w, source, box.bytes(), stores.count() + 1);
            stores.add(() -> {
                box.store(w.block.shared, source);
                w.launch.progress++;
            });
        });
    }
}
