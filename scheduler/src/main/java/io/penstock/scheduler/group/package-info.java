/// Shard groups: their ranks, epochs and recovery, the sequences they serve, and the thread that owns
/// each.
package io.penstock.scheduler.group;
