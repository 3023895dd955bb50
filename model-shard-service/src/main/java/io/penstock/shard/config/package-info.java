/// What an operator may set.
package io.penstock.shard.config;
