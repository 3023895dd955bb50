package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// Tiles that no block takes, or two, are wrong answers; a part that waits for a block without one is never joined. The
/// shares are walked here as `contexts.cu` walks them.
class TestContextShares {
    private record Cut(int row, int head, int tile, int first, int last) {}

    private record Tile(int row, int head, int tile) {}

    private static List<Cut> cuts(int[] lengths, int kvHeads, int blocks) {
        MemorySegment words = Arena.ofAuto().allocate(4L * (ContextShares.WORDS + 7), 8);
        ContextShares shares = new ContextShares(blocks, lengths.length + 1);
        // What an earlier step left must not matter.
        shares.add(700);
        shares.clear();
        for (int length : lengths) {
            shares.add(length);
        }
        shares.write(words, 7, kvHeads);
        List<Cut> cuts = new ArrayList<>();
        for (int i = 0; i <= ContextShares.MOST; i++) {
            int at = 7 + 3 * i;
            int context = words.getAtIndex(ValueLayout.JAVA_INT, at);
            int blocksOf = words.getAtIndex(ValueLayout.JAVA_INT, at + 2);
            cuts.add(new Cut(
                    context >>> 16,
                    context & 0xffff,
                    words.getAtIndex(ValueLayout.JAVA_INT, at + 1),
                    blocksOf >>> 16,
                    blocksOf & 0xffff));
        }
        return cuts;
    }

    private static int tiles(int length) {
        return (length + 63) / 64;
    }

    /// The tiles of each block, in its order.
    private static List<List<Tile>> walk(int[] lengths, int kvHeads, List<Cut> cuts, int blocks) {
        List<List<Tile>> all = new ArrayList<>();
        for (int block = 0; block < blocks; block++) {
            Cut from = cuts.get(block);
            Cut to = cuts.get(block + 1);
            List<Tile> tiles = new ArrayList<>();
            int row = from.row;
            int head = from.head;
            int tile = from.tile;
            while (row != to.row || head != to.head || tile != to.tile) {
                tiles.add(new Tile(row, head, tile));
                if (++tile == tiles(lengths[row])) {
                    tile = 0;
                    if (++head == kvHeads) {
                        head = 0;
                        row++;
                    }
                }
            }
            all.add(tiles);
        }
        return all;
    }

    private static void check(int[] lengths, int kvHeads, int blocks) {
        List<Cut> cuts = cuts(lengths, kvHeads, blocks);
        List<List<Tile>> shares = walk(lengths, kvHeads, cuts, blocks);
        List<Tile> expected = new ArrayList<>();
        for (int row = 0; row < lengths.length; row++) {
            for (int head = 0; head < kvHeads; head++) {
                for (int tile = 0; tile < tiles(lengths[row]); tile++) {
                    expected.add(new Tile(row, head, tile));
                }
            }
        }
        assertThat(shares.stream().flatMap(List::stream).toList()).isEqualTo(expected);
        int used = Math.clamp(expected.size() / ContextShares.LEAST, 1, blocks);
        int even = (expected.size() + used - 1) / used;
        int slack = Math.max(1, expected.size() / used / ContextShares.SLACK);
        assertThat(shares).allSatisfy(share -> assertThat(share.size()).isLessThanOrEqualTo(even + 2 * slack));
        for (int block = 1; block < blocks; block++) {
            Cut cut = cuts.get(block);
            if (cut.tile == 0) {
                continue;
            }
            List<Integer> having = new ArrayList<>();
            for (int other = 0; other < blocks; other++) {
                if (shares.get(other).stream().anyMatch(tile -> tile.row == cut.row && tile.head == cut.head)) {
                    having.add(other);
                }
            }
            assertThat(having).as("blocks of the context of %s", cut).hasSize(cut.last - cut.first + 1);
            assertThat(List.of(having.getFirst(), having.getLast())).containsExactly(cut.first, cut.last);
        }
        for (int block = blocks; block <= ContextShares.MOST; block++) {
            assertThat(cuts.get(block)).isEqualTo(cuts.get(blocks));
        }
    }

    @Test
    void everyTileIsInOneShareAndCutContextsNameTheirBlocks() {
        Random random = new Random(5);
        for (int i = 0; i < 150; i++) {
            int[] lengths = random.ints(1 + random.nextInt(30), 1, i % 5 == 0 ? 9_000 : 400)
                    .toArray();
            check(lengths, 1 + random.nextInt(9), 1 + random.nextInt(ContextShares.MOST));
        }
        check(new int[] {1}, 1, 264);
        check(new int[] {131_072}, 1, 264);
        check(new int[] {}, 4, 264);
    }

    /// Joining costs: of many short contexts most are whole.
    @Test
    void shortContextsAreSeldomCut() {
        int[] lengths = new Random(6).ints(256, 128, 257).toArray();
        long cut = cuts(lengths, 4, 264).stream().filter(each -> each.tile > 0).count();
        assertThat(cut).isLessThan(264 / 2);
    }
}
