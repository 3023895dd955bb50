/// How the ranks of a shard group meet: sums, hand-overs from stage to stage, and what was sampled.
package io.penstock.shard.collective;
