package io.penstock.shard.backend.cuda.ptx;

/// One instruction, decoded: its registers are places in a warp's register files.
abstract class Op {
    /// How a warp treats it.
    enum Kind {
        /// By the threads that stand there.
        PLAIN,
        BRANCH,
        EXIT,
        /// Once all threads of [#members] stand there.
        TOGETHER
    }

    static final int ALL = -1;

    final Kind kind;
    /// Of the text.
    int line;
    String text;
    /// A predicate, or -1.
    int guard = -1;
    boolean guardNot;
    /// Of a branch.
    int target;

    Op(Kind kind) {
        this.kind = kind;
    }

    Op() {
        this(Kind.PLAIN);
    }

    /// @param mask of threads, never 0
    abstract void run(Warp w, int mask);

    /// The threads that must come together.
    int members(Warp w, int mask) {
        return ALL;
    }

    /// An instruction of no consequence here.
    static Op nothing() {
        return of((_, _) -> {});
    }

    interface Deed {
        void run(Warp w, int mask);
    }

    static Op of(Deed deed) {
        return of(Kind.PLAIN, deed);
    }

    static Op of(Kind kind, Deed deed) {
        return new Op(kind) {
            @Override
            void run(Warp w, int mask) {
                deed.run(w, mask);
            }
        };
    }
}
