/// The attachment to a scheduler.
package io.penstock.shard.grpc;
