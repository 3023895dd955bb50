package io.penstock.shard.backend.cpu;

import java.io.IOException;
import java.io.InputStream;
import java.util.List;

/// The vector kernels compiled for a width of the test's choice. A width is a constant of the classes,
/// so each has its own copy of them.
final class KernelsOfWidth extends ClassLoader {
    private static final String PACKAGE = "io.penstock.shard.backend.cpu.";
    private static final List<String> COPIED = List.of("Vector", "Exponential");

    private KernelsOfWidth() {
        super(KernelsOfWidth.class.getClassLoader());
    }

    static Kernels of(int bits) {
        String before = System.setProperty("penstock.shard.vector-bits", Integer.toString(bits));
        try {
            return (Kernels) new KernelsOfWidth()
                    .loadClass(PACKAGE + "VectorKernels")
                    .getConstructor()
                    .newInstance();
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("no kernels of %d bits".formatted(bits), e);
        } finally {
            if (before == null) {
                System.clearProperty("penstock.shard.vector-bits");
            } else {
                System.setProperty("penstock.shard.vector-bits", before);
            }
        }
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        boolean copied = COPIED.stream().anyMatch(start -> name.startsWith(PACKAGE + start));
        if (!copied) {
            return super.loadClass(name, resolve);
        }
        Class<?> loaded = findLoadedClass(name);
        if (loaded != null) {
            return loaded;
        }
        try (InputStream in = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
            byte[] bytes = in.readAllBytes();
            return defineClass(name, bytes, 0, bytes.length);
        } catch (IOException e) {
            throw new ClassNotFoundException(name, e);
        }
    }
}
