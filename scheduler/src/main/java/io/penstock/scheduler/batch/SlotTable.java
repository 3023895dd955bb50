package io.penstock.scheduler.batch;

import io.penstock.api.shard.Step;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/// The slots of a group in one epoch: the numbers by which steps name sequences.
///
/// INVARIANT: a slot is given out again only once every step that named its last holder has reported, and
/// its retirement was sent, at the latest in the step that admits the next holder.
final class SlotTable {
    private final int slots;
    private final ArrayDeque<Integer> free = new ArrayDeque<>();
    private final List<Released> released = new ArrayList<>();
    private final List<Integer> toRetire = new ArrayList<>();

    private record Released(int slot, long lastStep) {}

    SlotTable(int slots) {
        this.slots = slots;
        for (int slot = 0; slot < slots; slot++) {
            free.add(slot);
        }
    }

    boolean hasFree() {
        return !free.isEmpty();
    }

    int take() {
        return free.remove();
    }

    void release(int slot, long lastStep, long reported) {
        toRetire.add(slot);
        if (lastStep <= reported) {
            free.add(slot);
        } else {
            released.add(new Released(slot, lastStep));
        }
    }

    void stepReported(long step) {
        for (int i = released.size() - 1; i >= 0; i--) {
            if (released.get(i).lastStep <= step) {
                free.add(released.remove(i).slot);
            }
        }
    }

    void retireIn(Step.Builder step) {
        step.addAllRetiredSlots(toRetire);
        toRetire.clear();
    }

    /// Slots that some sequence holds.
    int held() {
        return slots - free.size() - released.size();
    }
}
