/// What is asked of the scheduler, checked.
package io.penstock.scheduler.admission;
