package io.penstock.gateway.fake;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// A script, and what of it has happened, to whichever call came first. A call of the script before may begin after
/// this one does: what happens to it is its own script's.
record Played(Script script, Set<Integer> happened) {
    Played(Script script) {
        this(script, ConcurrentHashMap.newKeySet());
    }

    /// @return null: nothing
    Script.Incident incident(int position) {
        Script.Incident incident = script.incidents().get(position);
        return incident != null && happened.add(position) ? incident : null;
    }
}
