package io.penstock.model.checkpoint;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Opens a checkpoint: reads the heads of its files, checks every claim they make, and maps it to one configuration and
/// one naming of tensors.
public final class Checkpoints {
    /// Enough for the head of most files.
    private static final long FIRST_HEAD = 1 << 20;
    private static final Pattern PART = Pattern.compile("(.+)-00001-of-[0-9]{5}\\.gguf");

    private Checkpoints() {}

    /// @param path a GGUF file, or a folder with one, or a Hugging Face folder with `config.json` and safetensors
    /// @throws CheckpointException if it must not be loaded
    public static Checkpoint open(Path path) {
        try (LocalFiles files = LocalFiles.at(path)) {
            return open(files);
        }
    }

    /// Asks for heads only, growing them until they suffice.
    ///
    /// @throws CheckpointException if it must not be loaded
    public static Checkpoint open(CheckpointFiles files) {
        List<String> ggufs = files.names().stream()
                .filter(name -> name.endsWith(".gguf"))
                .sorted()
                .toList();
        if (files.names().contains(SafetensorsCheckpoint.CONFIG)) {
            return SafetensorsCheckpoint.open(files);
        }
        if (areParts(ggufs)) {
            return GgufCheckpoint.open(files, ggufs);
        }
        if (ggufs.size() > 1) {
            throw new CheckpointException(
                    Path.of(ggufs.getFirst()), "folder", "holds %d .gguf files, name one: %s", ggufs.size(), ggufs);
        }
        if (ggufs.isEmpty()) {
            throw new CheckpointException(
                    Path.of("."),
                    "folder",
                    "neither a .gguf file nor %s is among the files %s",
                    SafetensorsCheckpoint.CONFIG,
                    files.names().stream().sorted().limit(20).toList());
        }
        return gguf(files, ggufs.getFirst());
    }

    /// @param names sorted
    private static boolean areParts(List<String> names) {
        if (names.size() < 2) {
            return false;
        }
        Matcher first = PART.matcher(names.getFirst());
        if (!first.matches()) {
            return false;
        }
        for (int i = 0; i < names.size(); i++) {
            String wanted = "%s-%05d-of-%05d.gguf".formatted(first.group(1), i + 1, names.size());
            if (!names.get(i).equals(wanted)) {
                return false;
            }
        }
        return true;
    }

    private static Checkpoint gguf(CheckpointFiles files, String name) {
        return growing(files, name, GgufCheckpoint::parse);
    }

    /// Parses with more and more of a file's head until that is enough.
    static <T> T growing(CheckpointFiles files, String name, HeadParser<T> parser) {
        long size = files.size(name);
        long wanted = Math.min(size, FIRST_HEAD);
        while (true) {
            MemorySegment head = files.head(name, wanted);
            if (head.byteSize() < wanted) {
                throw new CheckpointException(
                        Path.of(name), "head", "%d bytes came where %d were asked for", head.byteSize(), wanted);
            }
            try {
                return parser.parse(head, size, name);
            } catch (HeadTooShortException e) {
                // Ends: each round more than doubles the head, and a parser asks for no byte past the file's end.
                wanted = Math.min(size, Math.max(e.needed(), 2 * head.byteSize()));
            }
        }
    }

    /// Reads what the first bytes of a file say.
    @FunctionalInterface
    interface HeadParser<T> {
        /// @throws HeadTooShortException if `head` ends too early; never if it is the whole file
        T parse(MemorySegment head, long fileLength, String fileName);
    }
}
