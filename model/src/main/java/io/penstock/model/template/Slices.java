package io.penstock.model.template;

import java.util.ArrayList;
import java.util.List;

/// Python's slices and subscripts by position.
final class Slices {
    private Slices() {}

    static Value of(Value object, Value start, Value stop, Value step) {
        return switch (object) {
            case Text text -> text(text, start, stop, step);
            case Value.Sequence(List<Value> items, boolean tuple) -> {
                List<Value> taken = new ArrayList<>();
                Range range = Range.of(items.size(), start, stop, step);
                for (long at = range.start; range.holds(at); at += range.step) {
                    taken.add(items.get((int) at));
                }
                yield new Value.Sequence(taken, tuple);
            }
            default -> {
                Operators.refuseUndefined(object);
                yield new Value.Undefined(Operators.type(object) + " object has no slices");
            }
        };
    }

    static Text text(Text text, Value start, Value stop, Value step) {
        int count = text.count();
        Range range = Range.of(count, start, stop, step);
        if (range.step == 1) {
            int from = (int) range.start;
            int to = (int) Math.max(range.stop, from);
            return text.slice(unit(text, from, count), unit(text, to, count));
        }
        List<Value> letters = text.letters();
        Text.Builder out = new Text.Builder();
        for (long at = range.start; range.holds(at); at += range.step) {
            out.append((Text) letters.get((int) at));
        }
        return out.build();
    }

    /// @return the item there, counted from the end if negative; null if there is none
    static Value at(Value object, long index) {
        return switch (object) {
            case Text text -> {
                int count = text.count();
                long at = index < 0 ? index + count : index;
                if (at < 0 || at >= count) {
                    yield null;
                }
                int unit = unit(text, (int) at, count);
                yield text.slice(unit, unit + Character.charCount(text.chars().codePointAt(unit)));
            }
            case Value.Sequence(List<Value> items, boolean _) -> {
                long at = index < 0 ? index + items.size() : index;
                yield at < 0 || at >= items.size() ? null : items.get((int) at);
            }
            default -> null;
        };
    }

    private static int unit(Text text, int codePoints, int count) {
        return count == text.length() ? codePoints : text.chars().offsetByCodePoints(0, codePoints);
    }

    private record Range(long start, long stop, long step) {
        static Range of(int size, Value start, Value stop, Value step) {
            long by = step instanceof Value.None ? 1 : Operators.integer(step, "slice");
            if (by == 0) {
                throw new TemplateException("slice step cannot be zero");
            }
            // From beyond the ends a walk either way begins or stops at them.
            long least = by > 0 ? 0 : -1;
            long most = by > 0 ? size : size - 1;
            long from = start instanceof Value.None ? (by > 0 ? least : most) : place(start, size, least, most);
            long to = stop instanceof Value.None ? (by > 0 ? most : least) : place(stop, size, least, most);
            return new Range(from, to, Math.clamp(by, -size - 1, size + 1));
        }

        private static long place(Value value, int size, long least, long most) {
            long at = Operators.integer(value, "slice");
            return Math.clamp(at < 0 ? Math.max(at, -size - 1L) + size : at, least, most);
        }

        boolean holds(long at) {
            return step > 0 ? at < stop : at > stop;
        }
    }
}
