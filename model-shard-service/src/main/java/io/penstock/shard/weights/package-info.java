/// Where a rank's weights come from: the node's weight-loader, or a file.
package io.penstock.shard.weights;
