/// What an operator may set.
package io.penstock.scheduler.config;
