package io.penstock.shard.backend;

/// Opens the device that this process was told to use.
@FunctionalInterface
public interface BackendFactory {
    /// @throws io.penstock.model.PenstockException naming what to change, if there is no such device
    Backend open();
}
