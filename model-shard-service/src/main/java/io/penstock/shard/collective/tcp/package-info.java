/// The collective over TCP: one connection a pair of ranks and purpose, made anew for each epoch.
package io.penstock.shard.collective.tcp;
