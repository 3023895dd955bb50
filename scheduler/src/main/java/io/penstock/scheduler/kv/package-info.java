/// Paged KV memory as numbers: blocks, who holds them, and when they may be used again.
package io.penstock.scheduler.kv;
