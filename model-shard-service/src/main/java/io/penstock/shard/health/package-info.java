/// Probes: liveness from step progress, readiness only while steps can come.
package io.penstock.shard.health;
