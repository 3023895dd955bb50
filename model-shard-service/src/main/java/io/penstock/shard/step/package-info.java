/// The step loop: what the scheduler orders, checked against what this rank knows, handed to the device in
/// order.
package io.penstock.shard.step;
