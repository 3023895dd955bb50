package io.penstock.shard.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// How the contexts that a step's rows of few queries attend to are shared among blocks of
/// [StreamedContexts]: all rows' tiles of keys, one key/value head behind the other, are cut into as many
/// even runs as there are blocks, so that all end together, whatever the contexts' lengths. Planned once a step, for
/// all layers. For one thread.
final class ContextShares {
    /// Blocks, at most; `SHARES` of common.cuh.
    static final int MOST = 304;

    static final int CUT_WORDS = 3;
    static final int WORDS = CUT_WORDS * (MOST + 1);

    static final int KEYS_A_TILE = 64;
    /// Tiles of a share, at least: parts that are shorter cost more to join than they save.
    static final int LEAST = 2;
    /// A cut goes to a context's beginning or end where that is no farther than this part of a share, or a
    /// tile: blocks may differ so much, since the memory serves those that are late the quicker.
    static final int SLACK = 8;

    private final int blocks;
    private final int[] tiles;
    private int rows;
    private long sum;

    private final int[] row = new int[MOST + 1];
    private final int[] head = new int[MOST + 1];
    private final int[] tile = new int[MOST + 1];
    private final int[] first = new int[MOST + 1];
    private final int[] last = new int[MOST + 1];

    /// @param blocks that share, at most [#MOST]
    /// @param maxRows of a step
    ContextShares(int blocks, int maxRows) {
        if (blocks < 1 || blocks > MOST) {
            throw new IllegalArgumentException("%d blocks, at most %d".formatted(blocks, MOST));
        }
        this.blocks = blocks;
        tiles = new int[maxRows];
    }

    void clear() {
        rows = 0;
        sum = 0;
    }

    /// The next row.
    ///
    /// @param length of its context, its own tokens included
    void add(int length) {
        int needed = (length + KEYS_A_TILE - 1) / KEYS_A_TILE;
        tiles[rows++] = needed;
        sum += needed;
    }

    /// Writes where each share begins, and where the last one ends: row and key/value head (16 bits each),
    /// tile, and where that is inside a context, the blocks that have the first and the last part of it (16
    /// bits each).
    void write(MemorySegment words, int at, int kvHeads) {
        cut(kvHeads);
        for (int cut = 1; cut <= blocks; cut++) {
            // The block before a context's first cut has what is before it.
            first[cut] = continues(cut, cut - 1) ? first[cut - 1] : cut - 1;
        }
        for (int cut = blocks; cut > 0; cut--) {
            last[cut] = cut < blocks && continues(cut, cut + 1) ? last[cut + 1] : cut;
        }
        for (int block = 0; block <= MOST; block++) {
            int from = Math.min(block, blocks);
            int word = at + CUT_WORDS * block;
            words.setAtIndex(ValueLayout.JAVA_INT, word, row[from] << 16 | head[from]);
            words.setAtIndex(ValueLayout.JAVA_INT, word + 1, tile[from]);
            words.setAtIndex(ValueLayout.JAVA_INT, word + 2, first[from] << 16 | last[from]);
        }
    }

    /// Whether two cuts are inside one context.
    private boolean continues(int cut, int other) {
        return tile[cut] > 0 && tile[other] > 0 && row[other] == row[cut] && head[other] == head[cut];
    }

    private void cut(int kvHeads) {
        long all = sum * kvHeads;
        int used = Math.clamp(all / LEAST, 1, blocks);
        long slack = Math.max(1, all / used / SLACK);
        int r = 0;
        int h = 0;
        long from = 0;
        for (int block = 0; block <= blocks; block++) {
            // INVARIANT: `from` is where the context of row r and head h begins, among all tiles.
            long wanted = block < used ? all * block / used : all;
            while (r < rows && wanted >= from + tiles[r]) {
                from += tiles[r];
                if (++h == kvHeads) {
                    h = 0;
                    r++;
                }
            }
            row[block] = r;
            head[block] = h;
            tile[block] = (int) (wanted - from);
            if (r == rows || tile[block] <= slack) {
                tile[block] = 0;
            } else if (tiles[r] - tile[block] <= slack) {
                tile[block] = 0;
                row[block] = h + 1 == kvHeads ? r + 1 : r;
                head[block] = h + 1 == kvHeads ? 0 : h + 1;
            }
        }
    }
}
