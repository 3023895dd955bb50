/// Sequences, and what the next step does with them: continuous batching under one token budget.
package io.penstock.scheduler.batch;
