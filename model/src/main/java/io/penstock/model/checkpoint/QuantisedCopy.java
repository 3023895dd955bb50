package io.penstock.model.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.quant.MatrixEncoder;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.TensorLayout;
import io.penstock.model.tensor.TensorNames;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToLongFunction;

/// A copy of a Hugging Face folder whose layers' matrices are quantised, and its output matrix where
/// that is asked for; embeddings, norms, biases and the routers of experts stay as they are. Each file
/// of weights becomes one, tensor by tensor, so that memory holds a few rows only. Other files are
/// copied if they say something of the model; the copy appears whole, under its name, or not at all.
public final class QuantisedCopy {
    /// What is written.
    public enum Format {
        /// 4 bits, 128 inputs a scale, as compressed-tensors' `pack-quantized`.
        INT4,
        /// e4m3 in tiles of 128 x 128 with `weight_scale_inv`, as DeepSeek-V3 is published.
        FP8;

        private WeightFormat stored() {
            return switch (this) {
                case INT4 -> MatrixEncoder.INT4;
                case FP8 -> MatrixEncoder.FLOAT8;
            };
        }
    }

    /// Beside the space for the weights, for other files and what a file system needs.
    private static final long SPARE = 64L << 20;

    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path source;
    private final Path target;
    private final Format format;
    private final boolean withOutput;
    private final ToLongFunction<Path> room;

    private QuantisedCopy(Path source, Path target, Format format, boolean withOutput, ToLongFunction<Path> room) {
        this.source = source;
        this.target = target;
        this.format = format;
        this.withOutput = withOutput;
        this.room = room;
    }

    /// @param quantised matrices that were
    /// @param kept matrices of layers that stay as they are, since groups do not divide their inputs
    /// @param bytes of all weights
    public record Summary(int quantised, List<String> kept, long bytes) {
        public Summary {
            kept = List.copyOf(kept);
        }
    }

    /// @param source folder with `config.json` and safetensors of F32, F16 or BF16
    /// @param target does not exist, in a folder that does
    /// @param withOutput whether the output matrix (`lm_head`) is quantised too
    /// @throws PenstockException if the source cannot be read or is quantised, or has no output matrix
    ///     of its own where that is to be quantised, the target exists, or there is no room
    public static Summary write(Path source, Path target, Format format, boolean withOutput) {
        return write(source, target, format, withOutput, folder -> {
            try {
                return Files.getFileStore(folder).getUsableSpace();
            } catch (IOException e) {
                throw new PenstockException(ErrorCategory.NOT_FOUND, e, "%s: no space can be asked for: %s", folder, e);
            }
        });
    }

    /// @param room bytes that may be written into a folder
    static Summary write(Path source, Path target, Format format, boolean withOutput, ToLongFunction<Path> room) {
        return new QuantisedCopy(source, target.toAbsolutePath().normalize(), format, withOutput, room).write();
    }

    private Summary write() {
        Path parent = target.getParent();
        if (parent == null || !Files.isDirectory(parent)) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "%s: its folder does not exist", target);
        }
        if (Files.exists(target)) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "%s exists; nothing is written over", target);
        }
        try (LocalFiles files = LocalFiles.at(source)) {
            Checkpoint checkpoint = Checkpoints.open(files);
            requirePlain(checkpoint);
            requireUnfused(files, checkpoint);
            if (withOutput && checkpoint.config().tiedEmbeddings()) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "%s: the output matrix is the embedding, which is not quantised",
                        source);
            }
            Plan plan = new Plan(checkpoint, format, withOutput);
            if (plan.quantised == 0) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "%s: no matrix has inputs that groups of %d divide",
                        source,
                        MatrixEncoder.INT4.groupSize());
            }
            long needed = plan.bytes() + SPARE;
            long free = room.applyAsLong(parent);
            if (free < needed) {
                throw new PenstockException(
                        ErrorCategory.OVERLOADED, "%s: %d bytes are needed, %d are free", parent, needed, free);
            }
            try (MappedTensors tensors = new MappedTensors(checkpoint, files.paths())) {
                publish(parent, files, plan, tensors);
            }
            return new Summary(plan.quantised, plan.kept, plan.bytes());
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.OVERLOADED, e, "%s could not be written: %s", target, e);
        }
    }

    private void requirePlain(Checkpoint checkpoint) {
        if (!(checkpoint instanceof SafetensorsCheckpoint)) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s: only folders with config.json and safetensors are quantised", source);
        }
        if (!checkpoint.matrices().isEmpty()) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s: %s is quantised already, as %s; quantise the original",
                    source,
                    checkpoint.matrices().keySet().iterator().next(),
                    checkpoint.matrices().values().iterator().next().format());
        }
        checkpoint.tensors().values().forEach(tensor -> {
            switch (tensor.dtype()) {
                case F32, F16, BF16 -> {}
                default ->
                    throw new CheckpointException(
                            tensor.file(), tensor.name(), "is %s; F32, F16 and BF16 are quantised", tensor.dtype());
            }
        });
    }

    /// Parts of a fused tensor would be written as tensors that no other reader of the model looks for.
    private static void requireUnfused(LocalFiles files, Checkpoint checkpoint) {
        Map<Path, List<TensorLocation>> heads = new TreeMap<>();
        for (TensorLocation tensor : checkpoint.tensors().values()) {
            boolean listed = heads
                    .computeIfAbsent(
                            tensor.file(), file -> Checkpoints.growing(files, file.toString(), SafetensorsHead::parse))
                    .stream()
                    .anyMatch(other ->
                            other.offset() == tensor.offset() && other.name().equals(tensor.name()));
            if (!listed) {
                throw new CheckpointException(
                        tensor.file(), tensor.name(), "is part of a fused tensor, which is not quantised");
            }
        }
    }

    /// Writes beside the target and renames, so that no reader ever sees a part.
    private void publish(Path parent, LocalFiles files, Plan plan, MappedTensors tensors) throws IOException {
        Path folder = Files.createTempDirectory(parent, "." + target.getFileName() + ".");
        try {
            for (Plan.File file : plan.files) {
                try (FileChannel out = create(folder.resolve(file.name()))) {
                    new QuantisedFile(out, file.tensors(), tensors).write();
                    out.force(true);
                }
            }
            if (plan.files.size() > 1) {
                text(folder.resolve(SafetensorsCheckpoint.INDEX), plan.index());
            }
            text(folder.resolve(SafetensorsCheckpoint.CONFIG), config(files, plan));
            for (Map.Entry<String, Path> other : files.paths().entrySet()) {
                if (isOfTheModel(other.getKey())) {
                    Path copy = folder.resolve(other.getKey());
                    Files.copy(other.getValue(), copy);
                    try (FileChannel written = FileChannel.open(copy, StandardOpenOption.WRITE)) {
                        written.force(true);
                    }
                }
            }
            // What nobody can read must not be published.
            Checkpoints.open(folder);
            sync(folder);
            Files.move(folder, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException | RuntimeException e) {
            remove(folder, e);
            throw e;
        }
        sync(parent);
    }

    private static FileChannel create(Path file) throws IOException {
        return FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    }

    private static void text(Path file, ObjectNode json) throws IOException {
        try (FileChannel out = create(file)) {
            QuantisedFile.write(out, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(json));
            out.force(true);
        }
    }

    /// Tokenizer, template, licence. No other format of the weights, and never a pickle.
    private static boolean isOfTheModel(String name) {
        if (name.equals(SafetensorsCheckpoint.CONFIG) || name.equals(SafetensorsCheckpoint.INDEX)) {
            return false;
        }
        return List.of(".json", ".jinja", ".txt", ".model", ".md").stream().anyMatch(name::endsWith)
                || name.startsWith("LICENSE")
                || name.startsWith("NOTICE");
    }

    private ObjectNode config(LocalFiles files, Plan plan) throws JsonProcessingException {
        long size = files.size(SafetensorsCheckpoint.CONFIG);
        String read = StandardCharsets.UTF_8
                .decode(files.head(SafetensorsCheckpoint.CONFIG, size).asByteBuffer())
                .toString();
        ObjectNode json = (ObjectNode) JSON.readTree(read);
        ObjectNode says = json.putObject("quantization_config");
        List<String> left = new ArrayList<>();
        if (!withOutput) {
            left.add("lm_head");
        }
        left.addAll(plan.kept);
        switch (format) {
            case FP8 -> {
                says.put("quant_method", "fp8").put("fmt", "e4m3").put("activation_scheme", "dynamic");
                says.putArray("weight_block_size").add(128).add(128);
                strings(says.putArray("modules_to_not_convert"), left);
            }
            case INT4 -> {
                says.put("quant_method", "compressed-tensors").put("format", "pack-quantized");
                says.put("quantization_status", "compressed");
                ObjectNode group = says.putObject("config_groups").putObject("group_0");
                group.putArray("targets").add("Linear");
                group.putObject("weights")
                        .put("num_bits", 4)
                        .put("type", "int")
                        .put("symmetric", true)
                        .put("strategy", "group")
                        .put("group_size", 128);
                left.add("re:.*mlp\\.gate$");
                strings(says.putArray("ignore"), left);
            }
        }
        return json;
    }

    private static void strings(ArrayNode array, List<String> all) {
        all.forEach(array::add);
    }

    private static void sync(Path folder) throws IOException {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private static void remove(Path folder, Exception cause) {
        try {
            Files.walkFileTree(folder, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    Files.delete(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult postVisitDirectory(Path visited, IOException failure) throws IOException {
                    Files.delete(visited);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }

    /// Which tensors are written into which file.
    private static final class Plan {
        /// @param tensors in the order of the file
        record File(String name, List<QuantisedFile.Tensor> tensors) {}

        final List<File> files = new ArrayList<>();
        final List<String> kept = new ArrayList<>();
        private final boolean withOutput;
        int quantised;

        Plan(Checkpoint checkpoint, Format format, boolean withOutput) {
            this.withOutput = withOutput;
            Map<String, TensorLayout> layouts = new TreeMap<>();
            TensorLayout.of(checkpoint.config()).forEach(layout -> layouts.put(layout.name(), layout));
            Map<Path, List<Map.Entry<String, TensorLocation>>> byFile = new TreeMap<>();
            checkpoint
                    .tensors()
                    .entrySet()
                    .forEach(tensor -> byFile.computeIfAbsent(tensor.getValue().file(), none -> new ArrayList<>())
                            .add(tensor));
            byFile.forEach((file, all) -> {
                all.sort(Comparator.comparingLong(tensor -> tensor.getValue().offset()));
                List<QuantisedFile.Tensor> tensors = new ArrayList<>();
                all.forEach(tensor -> tensors.add(plan(tensor, layouts.get(tensor.getKey()), format)));
                files.add(new File(byFile.size() == 1 ? SafetensorsCheckpoint.SINGLE : file.toString(), tensors));
            });
        }

        private QuantisedFile.Tensor plan(
                Map.Entry<String, TensorLocation> tensor, TensorLayout layout, Format format) {
            TensorLocation location = tensor.getValue();
            boolean matrix = layout.shape().rank() == 2 && isQuantised(layout);
            boolean fits = format != Format.INT4
                    || location.shape().extent(location.shape().rank() - 1) % 128 == 0;
            if (matrix && fits) {
                quantised++;
                return new QuantisedFile.Encoded(tensor.getKey(), location, format.stored());
            }
            if (matrix) {
                kept.add(module(location));
            }
            return new QuantisedFile.Plain(tensor.getKey(), location);
        }

        private boolean isQuantised(TensorLayout layout) {
            return switch (layout.place()) {
                case TensorLayout.Place.Layer(int number) ->
                    !layout.name().equals(TensorNames.layer(number, LayerTensor.ROUTER));
                case TensorLayout.Place.Expert expert -> true;
                case TensorLayout.Place.FirstStage first -> false;
                case TensorLayout.Place.LastStage last -> withOutput;
                case TensorLayout.Place.EveryStage every -> false;
            };
        }

        private static String module(TensorLocation tensor) {
            return tensor.name().substring(0, tensor.name().lastIndexOf('.'));
        }

        long bytes() {
            return files.stream()
                    .flatMap(file -> file.tensors().stream())
                    .flatMap(tensor -> tensor.written().stream())
                    .mapToLong(QuantisedFile.Written::bytes)
                    .sum();
        }

        ObjectNode index() {
            ObjectNode index = JSON.createObjectNode();
            index.putObject("metadata").put("total_size", bytes());
            ObjectNode map = index.putObject("weight_map");
            for (File file : files) {
                file.tensors()
                        .forEach(tensor -> tensor.written().forEach(written -> map.put(written.name(), file.name())));
            }
            return index;
        }
    }
}
