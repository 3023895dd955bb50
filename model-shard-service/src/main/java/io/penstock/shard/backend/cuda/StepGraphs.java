package io.penstock.shard.backend.cuda;

import io.penstock.shard.collective.Collective;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jcuda.driver.CUgraphExec;

/// What each kind of step launches, recorded as graphs where no step needs the host before its
/// stage's end, and launched kernel by kernel where it does.
final class StepGraphs implements AutoCloseable {
    private final CudaDevice device;
    private final ShardShape shape;
    private final Collective collective;
    private final ForwardPass pass;
    // Null where ranks do not meet on their devices.
    private final StagePeers peers;
    // Null where no step needs the host.
    private final RankExchange exchange;
    // Null where it does not serve.
    private final DecodeKernel decode;
    private final boolean sampling;
    private final Map<StepBucket, CUgraphExec> forwards = new HashMap<>();
    private final Map<Heads, CUgraphExec> heads = new HashMap<>();
    private final Map<Heads, CUgraphExec> decodes = new HashMap<>();

    /// @param sampling whether this rank turns logits into ids
    StepGraphs(
            CudaDevice device,
            ShardShape shape,
            Collective collective,
            ForwardPass pass,
            StagePeers peers,
            RankExchange exchange,
            DecodeKernel decode,
            boolean sampling) {
        this.device = device;
        this.shape = shape;
        this.collective = collective;
        this.pass = pass;
        this.peers = peers;
        this.exchange = exchange;
        this.decode = decode;
        this.sampling = sampling;
    }

    /// The end of a step: logits and ids for so many rows at most.
    private record Heads(StepBucket bucket, int samples) {
        static Heads smallest(StepBucket bucket, int samples) {
            for (int count : bucket.sampleCounts()) {
                if (count >= samples) {
                    return new Heads(bucket, count);
                }
            }
            throw new IllegalArgumentException("%d rows sample in %s".formatted(samples, bucket));
        }
    }

    /// Records steps of these buckets, before the first step comes.
    void capture(List<StepBucket> buckets) {
        for (StepBucket bucket : buckets) {
            forwards.put(bucket, device.capture(() -> forward(bucket)));
            for (int count : shape.slice().samples() ? bucket.sampleCounts() : List.<Integer>of()) {
                Heads head = new Heads(bucket, count);
                heads.put(head, device.capture(() -> head(head)));
            }
        }
    }

    /// The same of steps that are one kernel.
    void captureDecode(Set<StepBucket> buckets) {
        for (StepBucket bucket : buckets) {
            for (int count = 0; count <= bucket.rows(); count++) {
                Heads step = new Heads(bucket, count);
                decodes.put(step, device.capture(() -> decode(step)));
            }
        }
    }

    /// A step whose description is on its way, by one kernel.
    ///
    /// @param samples rows that sample
    void runDecode(StepBucket bucket, int samples) {
        Heads step = new Heads(bucket, samples);
        launch(decodes.get(step), () -> decode(step));
    }

    /// The same by a kernel for each operation.
    void run(StepBucket bucket, int samples) {
        launch(forwards.get(bucket), () -> forward(bucket));
        if (samples > 0 && shape.slice().samples()) {
            Heads head = Heads.smallest(bucket, samples);
            launch(heads.get(head), () -> head(head));
        }
    }

    private void launch(CUgraphExec graph, Runnable otherwise) {
        if (graph == null) {
            otherwise.run();
        } else {
            device.launch(graph);
        }
    }

    private void forward(StepBucket bucket) {
        if (shape.slice().embeds()) {
            pass.embed(bucket);
        }
        pass.layers(bucket, collective.tpSize() == 1 ? null : peers == null ? exchange : peers);
    }

    private void decode(Heads step) {
        decode.launch(step.bucket());
        if (step.samples() > 0) {
            if (peers != null) {
                peers.gather(step.bucket(), step.samples());
            }
            pass.sample(step.bucket(), step.samples());
        }
    }

    private void head(Heads head) {
        pass.logits(head.bucket(), head.samples());
        if (peers != null) {
            peers.gather(head.bucket(), head.samples());
        } else if (collective.tpSize() > 1) {
            exchange.gather(head.samples());
        }
        if (sampling) {
            pass.sample(head.bucket(), head.samples());
        }
    }

    /// To be called when no step runs any more.
    @Override
    public void close() {
        forwards.values().forEach(device::destroy);
        heads.values().forEach(device::destroy);
        decodes.values().forEach(device::destroy);
    }
}
