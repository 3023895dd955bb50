/// What a Llama-architecture layer is, apart from any device: constants that a forward pass derives
/// from the configuration.
package io.penstock.shard.layers;
