package io.penstock.model.template;

import java.util.AbstractList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.RandomAccess;

/// How much a value holds, counted as a tree: a list that holds one list twice weighs twice that list. What is walked
/// through, to compare it or to write it, can so be paid for, and is never too deep.
///
/// @param weight values in it, and a share for their characters
/// @param depth of lists and dicts in each other
record Weighed(int weight, int depth) {
    private static final int HEAVIEST = 1 << 24;

    private static final int CHARS = 8;

    static Weighed of(Value value) {
        return switch (value) {
            case Text text -> new Weighed(1 + text.length() / CHARS, 0);
            case Value.Sequence(List<Value> items, boolean _) when items instanceof Items known -> known.weighed;
            case Value.Mapping(Map<Value, Value> entries) when entries instanceof Entries known -> known.weighed;
            case Value other -> new Weighed(1, 0);
        };
    }

    /// @throws TemplateException if they are too many or too deep
    private static Weighed of(Collection<Value> values, Collection<Value> more) {
        long weight = 1;
        int depth = 0;
        for (Collection<Value> part : List.of(values, more)) {
            for (Value value : part) {
                Weighed one = of(value);
                weight += one.weight;
                depth = Math.max(depth, one.depth);
            }
        }
        if (weight > HEAVIEST) {
            throw new TemplateException("template makes a list or dict of over %d values", HEAVIEST);
        }
        if (depth >= Value.DEEPEST) {
            throw new TemplateException("values nested more than %d deep", Value.DEEPEST);
        }
        return new Weighed((int) weight, depth + 1);
    }

    /// Items of a list, not changed.
    static final class Items extends AbstractList<Value> implements RandomAccess {
        private final List<Value> items;
        private final Weighed weighed;

        Items(List<Value> items) {
            this.items = List.copyOf(items);
            this.weighed = of(this.items, List.of());
        }

        @Override
        public Value get(int index) {
            return items.get(index);
        }

        @Override
        public int size() {
            return items.size();
        }
    }

    /// Entries of a dict, not changed once they are here.
    static final class Entries extends LinkedHashMap<Value, Value> {
        private final transient Weighed weighed;

        Entries(Map<Value, Value> entries) {
            super(entries);
            this.weighed = of(entries.keySet(), entries.values());
        }
    }
}
