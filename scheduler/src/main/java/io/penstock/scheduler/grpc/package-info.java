/// The services of `inference.proto` and `shard.proto`, with flow control and cancellation both ways.
package io.penstock.scheduler.grpc;
