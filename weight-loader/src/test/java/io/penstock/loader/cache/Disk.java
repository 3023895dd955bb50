package io.penstock.loader.cache;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;

/// What a power cut leaves of a file system, by no more than POSIX promises: bytes that were not synced may be there or
/// not, sector by sector and in any order, and a name that its folder was not synced for likewise.
///
/// A move within a folder happens as a whole. One to another folder is a name that comes and one that goes, each when
/// its own
/// folder was synced.
final class Disk {
    private static final int SECTOR = 512;

    private final Map<Integer, Content> files = new HashMap<>();
    private final Map<Integer, Map<String, Integer>> folders =
            new HashMap<>(Map.of(RecordingFiles.ROOT, new TreeMap<>()));

    private Disk() {}

    private static final class Content {
        /// Longer than the file, so that not each sector of it makes a new one.
        private byte[] room = new byte[SECTOR];

        private int size;

        void resize(int to) {
            if (to < size) {
                Arrays.fill(room, to, size, (byte) 0);
            } else if (to > room.length) {
                room = Arrays.copyOf(room, Math.max(to, 2 * room.length));
            }
            size = to;
        }

        void write(byte[] from, int begin, int end, int position) {
            resize(Math.max(size, position + end - begin));
            System.arraycopy(from, begin, room, position, end - begin);
        }

        byte[] bytes() {
            return Arrays.copyOf(room, size);
        }
    }

    /// @param deeds until the power went
    /// @param survives whether something that was not synced is there all the same; asked sector by sector
    static Disk after(List<Deed> deeds, Predicate<Deed> survives) {
        Map<Integer, Integer> synced = new HashMap<>();
        for (int i = 0; i < deeds.size(); i++) {
            if (deeds.get(i) instanceof Deed.Synced(int node)) {
                synced.put(node, i);
            }
        }
        Disk disk = new Disk();
        for (int i = 0; i < deeds.size(); i++) {
            for (Deed deed : parts(deeds.get(i))) {
                boolean isSafe = synced.getOrDefault(place(deed), -1) > i;
                disk.apply(deed, isSafe ? _ -> true : survives);
            }
        }
        return disk;
    }

    private static List<Deed> parts(Deed deed) {
        return deed instanceof Deed.Moved(int fromFolder, String fromName, int toFolder, String toName, int node)
                        && fromFolder != toFolder
                ? List.of(new Deed.Named(toFolder, toName, node), new Deed.Removed(fromFolder, fromName))
                : List.of(deed);
    }

    /// The file or folder that a deed is on the disk with.
    private static int place(Deed deed) {
        return switch (deed) {
            case Deed.Made made -> made.folder();
            case Deed.Named named -> named.folder();
            case Deed.Removed removed -> removed.folder();
            case Deed.Moved moved -> moved.toFolder();
            case Deed.Written written -> written.node();
            case Deed.Cut cut -> cut.node();
            case Deed.Synced here -> here.node();
        };
    }

    private void apply(Deed deed, Predicate<Deed> survives) {
        switch (deed) {
            case Deed.Written(int node, long position, byte[] bytes) -> {
                for (int from = 0; from < bytes.length; ) {
                    int to = (int) Math.min(bytes.length, (position + from) / SECTOR * SECTOR + SECTOR - position);
                    if (survives.test(deed)) {
                        files.get(node).write(bytes, from, to, Math.toIntExact(position + from));
                    }
                    from = to;
                }
            }
            case Deed.Cut(int node, long size) -> {
                if (survives.test(deed)) {
                    files.get(node).resize(Math.toIntExact(size));
                }
            }
            case Deed.Made(int folder, String name, int node, boolean isFolder) -> {
                if (isFolder) {
                    folders.put(node, new TreeMap<>());
                } else {
                    files.put(node, new Content());
                }
                if (survives.test(deed)) {
                    folders.get(folder).put(name, node);
                }
            }
            case Deed.Named(int folder, String name, int node) -> {
                if (survives.test(deed)) {
                    folders.get(folder).put(name, node);
                }
            }
            case Deed.Removed(int folder, String name) -> {
                if (survives.test(deed)) {
                    folders.get(folder).remove(name);
                }
            }
            case Deed.Moved moved -> {
                if (survives.test(deed)) {
                    Map<String, Integer> folder = folders.get(moved.toFolder());
                    folder.remove(moved.fromName());
                    folder.put(moved.toName(), moved.node());
                }
            }
            case Deed.Synced _ -> {}
        }
    }

    /// What tells it from others.
    int fingerprint() {
        Map<Integer, Integer> contents = new HashMap<>();
        files.forEach((node, content) -> contents.put(node, Arrays.hashCode(content.bytes())));
        return 31 * contents.hashCode() + folders.hashCode();
    }

    /// Makes real files of it, hard links among them.
    ///
    /// @param target new
    void writeTo(Path target) throws IOException {
        writeTo(target, RecordingFiles.ROOT, new HashMap<>());
    }

    private void writeTo(Path target, int folder, Map<Integer, Path> first) throws IOException {
        Files.createDirectories(target);
        for (Map.Entry<String, Integer> entry : folders.get(folder).entrySet()) {
            Path path = target.resolve(entry.getKey());
            int node = entry.getValue();
            if (folders.containsKey(node)) {
                writeTo(path, node, first);
            } else if (first.containsKey(node)) {
                Files.createLink(path, first.get(node));
            } else {
                first.put(node, Files.write(path, files.get(node).bytes()));
            }
        }
    }
}
