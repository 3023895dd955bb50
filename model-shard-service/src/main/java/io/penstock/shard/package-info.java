/// One rank of a model: its layers, its slice, its KV memory, its device. It does what the scheduler's steps
/// say.
package io.penstock.shard;
