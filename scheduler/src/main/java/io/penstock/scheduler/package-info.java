/// The scheduler: tokens in, tokens out. It decides what each group of shards computes in each step.
package io.penstock.scheduler;
