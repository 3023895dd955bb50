/// Whether the scheduler lives, and whether it can serve.
package io.penstock.scheduler.health;
