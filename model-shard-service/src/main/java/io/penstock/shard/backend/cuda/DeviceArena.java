package io.penstock.shard.backend.cuda;

/// One block of device memory, given out front to back: what an epoch or a model needs, taken at once
/// and freed at once. A first pass over [#measuring] finds the size.
final class DeviceArena implements AutoCloseable {
    private static final long ALIGNMENT = 256;

    private final CudaDevice device;
    private final CudaDevice.DeviceMemory memory;
    private long used;

    private DeviceArena(CudaDevice device, CudaDevice.DeviceMemory memory) {
        this.device = device;
        this.memory = memory;
    }

    /// Gives out addresses that nothing lies behind.
    static DeviceArena measuring() {
        return new DeviceArena(null, null);
    }

    static DeviceArena of(CudaDevice device, long bytes) {
        // A copy engine's last block of a row may reach beyond it.
        return new DeviceArena(device, device.allocate(bytes + ALIGNMENT));
    }

    /// @return device address, a multiple of 256
    long take(long bytes) {
        long at = used;
        used = Math.addExact(used, Math.addExact(bytes, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
        if (memory == null) {
            return at;
        }
        if (used > memory.size()) {
            throw new IllegalStateException("%d bytes of an arena of %d".formatted(used, memory.size()));
        }
        return memory.address() + at;
    }

    long used() {
        return used;
    }

    void zero() {
        device.zero(memory);
    }

    @Override
    public void close() {
        if (memory != null) {
            device.free(memory);
        }
    }
}
