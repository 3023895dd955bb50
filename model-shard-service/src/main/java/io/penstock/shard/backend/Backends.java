package io.penstock.shard.backend;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.cpu.CpuBackend;
import io.penstock.shard.backend.cpu.CpuOptions;
import io.penstock.shard.backend.cuda.CudaBackend;
import io.penstock.shard.backend.cuda.CudaOptions;
import java.util.Optional;
import org.jboss.logging.Logger;

/// Chooses what computes, once, at the start, and says why.
public final class Backends {
    private static final Logger LOG = Logger.getLogger(Backends.class);
    private static final String VECTOR_MODULE = "jdk.incubator.vector";

    /// What an operator asked for.
    public enum Choice {
        /// CUDA where there is a device, the CPU elsewhere.
        AUTO,
        CPU,
        CUDA
    }

    private Backends() {}

    /// @throws PenstockException naming what to change, if the choice cannot be had
    public static Backend open(Choice choice, CpuOptions cpu, CudaOptions cuda) {
        return switch (choice) {
            case CPU -> cpu(cpu, "asked for");
            case CUDA -> {
                LOG.info("backend: cuda, asked for");
                yield new CudaBackend(cuda);
            }
            case AUTO -> {
                Optional<String> unavailable = CudaBackend.unavailableReason();
                if (unavailable.isPresent()) {
                    yield cpu(cpu, unavailable.get());
                }
                LOG.info("backend: cuda, a device is here");
                yield new CudaBackend(cuda);
            }
        };
    }

    private static Backend cpu(CpuOptions options, String why) {
        // Without it the process would start, and fail at the first kernel.
        if (ModuleLayer.boot().findModule(VECTOR_MODULE).isEmpty()) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "the CPU backend needs the module %s: start java with --add-modules=%s, or set JDK_JAVA_OPTIONS",
                    VECTOR_MODULE,
                    VECTOR_MODULE);
        }
        LOG.infof("backend: cpu, %s", why);
        return new CpuBackend(options);
    }
}
