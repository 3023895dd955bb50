package io.penstock.loader.cache;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.CopyOption;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.lucene.tests.mockfile.FilterFileChannel;
import org.apache.lucene.tests.mockfile.FilterFileSystemProvider;

/// The real file system below a folder, which takes down what is done to it. One thread at a time.
final class RecordingFiles extends FilterFileSystemProvider {
    /// The folder that everything is below.
    static final int ROOT = 0;

    private final Path real;
    private final List<Deed> deeds = new ArrayList<>();
    /// Numbers by the system's own, which it gives away again.
    private final Map<Object, Integer> nodes = new HashMap<>();

    private int made;

    /// @param real what is there already is as good as on the disk
    RecordingFiles(Path real) throws IOException {
        super("recorded://", FileSystems.getDefault());
        this.real = real;
        begin(real);
        try (Stream<Path> paths = Files.walk(real)) {
            for (Path path : paths.filter(path -> !path.equals(real)).toList()) {
                takeStock(path);
            }
        }
        for (int node = ROOT; node < made; node++) {
            deeds.add(new Deed.Synced(node));
        }
    }

    private void takeStock(Path path) throws IOException {
        Integer known = nodes.get(key(path));
        if (known != null) {
            deeds.add(new Deed.Named(folder(path), name(path), known));
            return;
        }
        made(path, Files.isDirectory(path));
        if (Files.isRegularFile(path)) {
            deeds.add(new Deed.Written(node(path), 0, Files.readAllBytes(path)));
        }
    }

    /// The folder, by way of here.
    Path root() {
        return wrapPath(real);
    }

    List<Deed> deeds() {
        return List.copyOf(deeds);
    }

    private static Object key(Path path) throws IOException {
        return Files.getAttribute(path, "unix:ino", LinkOption.NOFOLLOW_LINKS);
    }

    private int begin(Path path) throws IOException {
        nodes.put(key(path), made);
        return made++;
    }

    private int node(Path path) throws IOException {
        return nodes.get(key(path));
    }

    private int folder(Path path) throws IOException {
        return node(path.getParent());
    }

    private static String name(Path path) {
        return path.getFileName().toString();
    }

    private void made(Path path, boolean isFolder) throws IOException {
        int node = begin(path);
        deeds.add(new Deed.Made(folder(path), name(path), node, isFolder));
    }

    @Override
    public void createDirectory(Path path, FileAttribute<?>... attributes) throws IOException {
        super.createDirectory(path, attributes);
        made(toDelegate(path), true);
    }

    @Override
    public void createLink(Path link, Path existing) throws IOException {
        super.createLink(link, existing);
        Path given = toDelegate(link);
        deeds.add(new Deed.Named(folder(given), name(given), node(given)));
    }

    @Override
    public void move(Path source, Path target, CopyOption... options) throws IOException {
        Path from = toDelegate(source);
        Path to = toDelegate(target);
        int node = node(from);
        super.move(source, target, options);
        deeds.add(new Deed.Moved(folder(from), name(from), folder(to), name(to), node));
    }

    @Override
    public void delete(Path path) throws IOException {
        super.delete(path);
        removed(toDelegate(path));
    }

    @Override
    public boolean deleteIfExists(Path path) throws IOException {
        boolean was = super.deleteIfExists(path);
        if (was) {
            removed(toDelegate(path));
        }
        return was;
    }

    private void removed(Path path) throws IOException {
        deeds.add(new Deed.Removed(folder(path), name(path)));
    }

    /// For marks, which are empty.
    @Override
    public OutputStream newOutputStream(Path path, OpenOption... options) throws IOException {
        boolean isNew = !Files.exists(toDelegate(path));
        OutputStream stream = super.newOutputStream(path, options);
        if (isNew) {
            made(toDelegate(path), false);
        }
        return stream;
    }

    @Override
    public FileChannel newFileChannel(Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
            throws IOException {
        Path given = toDelegate(path);
        boolean isNew = !Files.exists(given);
        FileChannel channel = super.newFileChannel(path, options, attributes);
        if (isNew) {
            made(given, false);
        }
        return new Channel(channel, node(given));
    }

    private final class Channel extends FilterFileChannel {
        private final int node;

        Channel(FileChannel delegate, int node) {
            super(delegate);
            this.node = node;
        }

        private void written(ByteBuffer before, int count, long position) {
            byte[] bytes = new byte[count];
            before.get(bytes);
            deeds.add(new Deed.Written(node, position, bytes));
        }

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            ByteBuffer before = bytes.duplicate();
            long position = position();
            int count = super.write(bytes);
            written(before, count, position);
            return count;
        }

        @Override
        public int write(ByteBuffer bytes, long position) throws IOException {
            ByteBuffer before = bytes.duplicate();
            int count = super.write(bytes, position);
            written(before, count, position);
            return count;
        }

        @Override
        public long write(ByteBuffer[] bytes, int offset, int length) {
            throw new UnsupportedOperationException("nothing takes it down");
        }

        @Override
        public FileChannel truncate(long size) throws IOException {
            super.truncate(size);
            deeds.add(new Deed.Cut(node, size()));
            return this;
        }

        @Override
        public void force(boolean metadata) throws IOException {
            super.force(metadata);
            deeds.add(new Deed.Synced(node));
        }
    }
}
