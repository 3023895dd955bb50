package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import java.lang.foreign.Arena;

/// Our own products, each of the numbers of vectors and the outputs that it serves.
record OwnProducts(StreamedProducts streamed, GatedProducts gated) {

    /// @param workspace device address of at least [StreamedProducts#partBytes], free whenever a product runs
    /// @param flags device address of a word for each multiprocessor, zero
    /// @return null on devices for which there are none
    static OwnProducts of(CudaDevice device, CudaModules modules, long workspace, long flags, Arena arena) {
        return StreamedProducts.isOn(device)
                ? new OwnProducts(
                        new StreamedProducts(device, modules, workspace, flags, arena),
                        new GatedProducts(device, modules, arena))
                : null;
    }

    static boolean serves(Extents extents) {
        return StreamedProducts.serves(extents) || GatedProducts.serves(extents);
    }

    /// Puts a product on the device's stream.
    void run(Extents extents, Operation operation) {
        if (GatedProducts.serves(extents)) {
            gated.run(extents, operation);
        } else {
            streamed.run(extents, operation);
        }
    }
}
