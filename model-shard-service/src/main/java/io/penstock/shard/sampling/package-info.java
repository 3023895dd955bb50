/// From logits to the next token: penalties, truncation, the draw, log-probabilities. Plain Java on float
/// arrays.
package io.penstock.shard.sampling;
