package io.penstock.shard.collective.tcp;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TestTcpCollective {
    private static final Duration LONG = Duration.ofSeconds(30);

    @Test
    void allRanksHoldTheSameBitsOfASumInRankOrder() {
        for (int tpSize = 1; tpSize <= 4; tpSize++) {
            try (Ranks ranks = new Ranks(tpSize, 1, LONG)) {
                for (int count : new int[] {1, 576, Link.MAX_FLOATS, Link.MAX_FLOATS + 1, 200_003}) {
                    float[] expected = values(0, count);
                    for (int rank = 1; rank < tpSize; rank++) {
                        float[] part = values(rank, count);
                        for (int i = 0; i < count; i++) {
                            expected[i] += part[i];
                        }
                    }
                    List<float[]> sums = Ranks.join(ranks.all(collective -> {
                        float[] array = new float[count + 5];
                        System.arraycopy(values(collective.tpRank(), count), 0, array, 3, count);
                        collective.allReduce(array, 3, count);
                        assertThat(new float[] {array[0], array[2], array[count + 3]})
                                .containsOnly(0);
                        return Arrays.copyOfRange(array, 3, count + 3);
                    }));
                    for (float[] sum : sums) {
                        assertThat(Arrays.equals(sum, expected))
                                .as("%d of %d ranks", count, tpSize)
                                .isTrue();
                    }
                }
            }
        }
    }

    @Test
    void manySmallSumsStayInStep() {
        try (Ranks ranks = new Ranks(3, 1, LONG)) {
            List<Float> results = Ranks.join(ranks.all(collective -> {
                float[] one = {collective.tpRank() + 1};
                float total = 0;
                for (int i = 0; i < 2_000; i++) {
                    float[] value = {one[0] * i};
                    collective.allReduce(value, 0, 1);
                    total = value[0];
                }
                return total;
            }));
            assertThat(results).containsOnly(6f * 1_999);
        }
    }

    @Test
    void gathersUnevenPartsInRankOrder() {
        int[] counts = {3, 0, 70_001};
        try (Ranks ranks = new Ranks(3, 1, LONG)) {
            List<float[]> wholes = Ranks.join(ranks.all(collective -> {
                int rank = collective.tpRank();
                float[] whole = new float[70_006];
                collective.gather(values(rank, counts[rank]), 0, whole, 2, counts);
                // The links are in order for what comes next.
                collective.allReduce(new float[1], 0, 1);
                return whole;
            }));
            float[] expected = new float[70_006];
            System.arraycopy(values(0, 3), 0, expected, 2, 3);
            System.arraycopy(values(2, 70_001), 0, expected, 5, 70_001);
            assertThat(Arrays.equals(wholes.get(0), expected)).isTrue();
            assertThat(wholes.get(1)).containsOnly(0);
        }
    }

    @Test
    void everyRankKnowsWhatEachHasSaid() {
        try (Ranks ranks = new Ranks(3, 1, LONG)) {
            for (byte[][] all : Ranks.join(ranks.all(collective ->
                    collective.allGather(new byte[] {(byte) collective.tpRank(), -128, 127, (byte) 255})))) {
                assertThat(all)
                        .isDeepEqualTo(new byte[][] {{0, -128, 127, -1}, {1, -128, 127, -1}, {2, -128, 127, -1}});
            }
        }
    }

    @Test
    void ranksThatMeetOnTheirDevicesHearOfAPeersEndAndOfTheirOwn() throws InterruptedException {
        try (Ranks ranks = new Ranks(3, 1, LONG)) {
            List<CountDownLatch> lost = List.of(new CountDownLatch(1), new CountDownLatch(1), new CountDownLatch(1));
            Ranks.join(ranks.all(collective -> {
                collective.watchStage(lost.get(collective.tpRank())::countDown);
                return null;
            }));
            assertThat(lost).allMatch(latch -> latch.getCount() == 1);
            ranks.collective(2).close();
            for (CountDownLatch latch : lost) {
                assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
            }
            CountDownLatch late = new CountDownLatch(1);
            ranks.collective(0).watchStage(late::countDown);
            assertThat(late.getCount())
                    .as("a watch over what is closed already")
                    .isZero();
        }
    }

    @Test
    void handsActivationsOnWithoutWaitingForTheReceiver() throws InterruptedException {
        int count = 600_000;
        CountDownLatch sent = new CountDownLatch(1);
        try (Ranks ranks = new Ranks(2, 3, LONG)) {
            List<float[]> results = Ranks.join(ranks.all(collective -> {
                int stage = collective.ppStage();
                float[] first = new float[count];
                float[] second = new float[10];
                if (stage == 0) {
                    Arrays.fill(first, collective.tpRank() + 1);
                    Arrays.fill(second, collective.tpRank() + 3);
                } else {
                    if (stage == 1) {
                        // Nobody receives until both steps of the first stage are sent:
                        // more than a socket holds.
                        sent.await();
                    }
                    collective.receivePrevious(first, 0, count);
                    collective.receivePrevious(second, 0, 10);
                }
                if (stage < 2) {
                    collective.sendNext(first, 0, count);
                    // Sent means copied: the array is the caller's again.
                    Arrays.fill(first, -1);
                    collective.sendNext(second, 0, 10);
                    if (stage == 0 && collective.tpRank() == 1) {
                        sent.countDown();
                    }
                    return null;
                }
                return new float[] {first[0], first[count - 1], second[9]};
            }));
            assertThat(results.get(4)).containsExactly(1, 1, 3);
            assertThat(results.get(5)).containsExactly(2, 2, 4);
        }
    }

    @Test
    void everyRankLearnsWhatWasSampled() {
        try (Ranks ranks = new Ranks(2, 2, LONG)) {
            Ranks.join(ranks.all(collective -> {
                int[] slots = new int[4];
                int[] tokens = new int[4];
                for (int step = 1; step <= 100; step++) {
                    int count = step % 4;
                    if (collective.tpRank() == 0 && collective.ppStage() == 1) {
                        for (int i = 0; i < count; i++) {
                            slots[i] = i;
                            tokens[i] = step * 10 + i;
                        }
                        collective.publishSampled(step, slots, tokens, count);
                    } else {
                        assertThat(collective.receiveSampled(step, slots, tokens))
                                .isEqualTo(count);
                        for (int i = 0; i < count; i++) {
                            assertThat(tokens[i]).isEqualTo(step * 10 + slots[i]);
                        }
                    }
                }
                return null;
            }));
        }
    }

    @Test
    void aRankThatAsksForAnotherStepsTokensFails() {
        try (Ranks ranks = new Ranks(1, 2, LONG)) {
            Ranks.join(ranks.on(1, collective -> {
                collective.publishSampled(5, new int[] {0}, new int[] {9}, 1);
                return null;
            }));
            assertThatThrownBy(() ->
                            Ranks.join(ranks.on(0, collective -> collective.receiveSampled(4, new int[4], new int[4]))))
                    .isInstanceOf(PeerException.class)
                    .hasMessageContaining("out of step");
        }
    }

    @Test
    void ranksThatFellOutOfStepFailInsteadOfAddingUp() {
        try (Ranks ranks = new Ranks(2, 1, LONG)) {
            List<Future<Object>> results = ranks.all(collective -> {
                collective.allReduce(new float[8], 0, collective.tpRank() == 0 ? 4 : 5);
                return null;
            });
            for (Future<Object> result : results) {
                assertThatThrownBy(() -> Ranks.join(result)).isInstanceOf(PeerException.class);
            }
        }
    }

    @Test
    void aDeadPeerIsFoundAtOnceByAllRanks() {
        try (Ranks ranks = new Ranks(3, 2, LONG)) {
            List<Future<Object>> results = ranks.all(collective -> {
                if (collective.tpRank() == 2 && collective.ppStage() == 0) {
                    collective.close();
                    return null;
                }
                if (collective.ppStage() == 0) {
                    collective.allReduce(new float[576], 0, 576);
                } else {
                    collective.receivePrevious(new float[576], 0, 576);
                }
                return null;
            });
            long start = System.nanoTime();
            for (int index : new int[] {0, 1, 3, 4, 5}) {
                assertThatThrownBy(() -> Ranks.join(results.get(index))).isInstanceOf(PeerException.class);
            }
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(5));
            // The epoch is over.
            assertThatThrownBy(() -> ranks.collective(0).allReduce(new float[1], 0, 1))
                    .isInstanceOf(PeerException.class);
        }
    }

    @Test
    void aPeerThatComputesPastTheDeadlineIsWaitedFor() {
        try (Ranks ranks = new Ranks(2, 1, Duration.ofMillis(50))) {
            Future<Float> waiting = ranks.on(0, collective -> {
                float[] value = {1};
                collective.allReduce(value, 0, 1);
                return value[0];
            });
            Ranks.join(ranks.on(1, collective -> {
                while (ranks.listeners.get(1).probesAnswered() < 3) {
                    Thread.onSpinWait();
                }
                collective.allReduce(new float[] {1}, 0, 1);
                return null;
            }));
            assertThat(Ranks.join(waiting)).isEqualTo(2);
        }
    }

    @Test
    void aSilentPeerIsGivenUpAtTheDeadline() {
        try (Ranks ranks = new Ranks(2, 1, Duration.ofMillis(200))) {
            // Its connections stand, but the process does not answer: stopped, or its machine gone.
            ranks.listeners.get(1).close();
            long start = System.nanoTime();
            assertThatThrownBy(() -> Ranks.join(ranks.on(0, collective -> {
                        collective.allReduce(new float[576], 0, 576);
                        return null;
                    })))
                    .isInstanceOf(PeerException.class)
                    .hasMessage("rank 1 of stage 0 was silent for 200 ms");
            assertThat(Duration.ofNanos(System.nanoTime() - start))
                    .isBetween(Duration.ofMillis(200), Duration.ofSeconds(5));
        }
    }

    @Test
    void aPeerThatTakesNothingIsGivenUpAtTheDeadline() {
        try (Ranks ranks = new Ranks(1, 2, Duration.ofMillis(200))) {
            ranks.listeners.get(1).close();
            assertThatThrownBy(() -> Ranks.join(ranks.on(0, collective -> {
                        float[] values = new float[1 << 20];
                        while (true) {
                            collective.sendNext(values, 0, values.length);
                        }
                    })))
                    .isInstanceOf(PeerException.class)
                    .hasMessage("rank 0 of stage 1 took nothing for 200 ms");
        }
    }

    @Test
    void closingEndsAWait() throws Exception {
        try (Ranks ranks = new Ranks(2, 1, LONG)) {
            CountDownLatch begun = new CountDownLatch(1);
            Future<Object> waiting = ranks.on(0, collective -> {
                begun.countDown();
                collective.allReduce(new float[576], 0, 576);
                return null;
            });
            begun.await();
            ranks.collective(0).close();
            assertThatThrownBy(() -> Ranks.join(waiting)).isInstanceOf(PeerException.class);
        }
    }

    @Test
    void aRankWaitsForOneThatHasNotHeardOfTheEpochYet() throws Exception {
        try (PeerListener here = PeerListener.bind("127.0.0.1", 0, "here");
                PeerListener there = PeerListener.bind("127.0.0.1", 0, "there")) {
            PeerAddress first = new PeerAddress(0, 0, "127.0.0.1", here.port(), "here");
            PeerAddress second = new PeerAddress(1, 0, "127.0.0.1", there.port(), "there");
            List<PeerAddress> peers = List.of(first, second);
            try (TcpCollective early =
                            new TcpCollective(new Membership(2, 2, 1, first, peers, LONG), here, Duration.ZERO);
                    TcpCollective late =
                            new TcpCollective(new Membership(2, 2, 1, second, peers, LONG), there, Duration.ZERO)) {
                Thread waiting = Thread.ofPlatform().start(early::connect);
                // Sleeping in the read of the answer, nowhere else.
                while (waiting.getState() != Thread.State.RUNNABLE || there.parkedCount() == 0) {
                    Thread.onSpinWait();
                }
                late.connect();
                waiting.join(Duration.ofSeconds(10));
                Thread summing = Thread.ofPlatform().start(() -> early.allReduce(new float[] {1}, 0, 1));
                float[] two = {1};
                late.allReduce(two, 0, 1);
                summing.join(Duration.ofSeconds(10));
                assertThat(two).containsExactly(2);
            }
        }
    }

    @Test
    void peersOfAnOlderEpochOrAnotherLifeAreRefused() {
        try (PeerListener here = PeerListener.bind("127.0.0.1", 0, "here");
                PeerListener there = PeerListener.bind("127.0.0.1", 0, "there")) {
            PeerAddress first = new PeerAddress(0, 0, "127.0.0.1", here.port(), "here");
            for (PeerAddress second : List.of(
                    new PeerAddress(1, 0, "127.0.0.1", there.port(), "there-before-its-restart"),
                    new PeerAddress(1, 0, "127.0.0.1", there.port(), "there"))) {
                there.join(6);
                Membership stale = new Membership(5, 2, 1, first, List.of(first, second), LONG);
                try (TcpCollective collective = new TcpCollective(stale, here, Duration.ZERO)) {
                    assertThatThrownBy(collective::connect)
                            .isInstanceOf(PeerException.class)
                            .hasMessageContaining("rank 1 of stage 0 refused epoch 5");
                }
            }
        }
    }

    @Test
    void strangersAreRefusedAndDisturbNobody() throws IOException {
        try (Ranks ranks = new Ranks(2, 1, LONG)) {
            for (byte[] junk : List.of(
                    "GET / HTTP/1.1\r\n\r\n12345678".getBytes(StandardCharsets.US_ASCII), new byte[64], new byte[] {1
                    })) {
                try (Socket socket = new Socket(
                        InetAddress.getLoopbackAddress(), ranks.listeners.get(0).port())) {
                    socket.setSoTimeout(10_000);
                    OutputStream out = socket.getOutputStream();
                    out.write(junk);
                    socket.shutdownOutput();
                    assertThat(ended(socket)).isTrue();
                }
            }
            List<Float> sums = Ranks.join(ranks.all(collective -> {
                float[] one = {1};
                collective.allReduce(one, 0, 1);
                return one[0];
            }));
            assertThat(sums).containsExactly(2f, 2f);
        }
    }

    @Test
    void aMembershipThatIsNotTheGroupIsRefused() {
        PeerAddress first = new PeerAddress(0, 0, "h", 1, "a");
        PeerAddress second = new PeerAddress(1, 0, "h", 2, "b");
        assertThatThrownBy(() -> new Membership(1, 2, 1, first, List.of(first), LONG))
                .hasMessageContaining("names 1 peers");
        assertThatThrownBy(() -> new Membership(1, 2, 1, first, List.of(first, first), LONG))
                .hasMessageContaining("1 distinct");
        assertThatThrownBy(() -> new Membership(1, 1, 1, second, List.of(second), LONG))
                .hasMessageContaining("rank 1 of stage 0");
        assertThatThrownBy(() -> new Membership(
                        1, 2, 1, new PeerAddress(0, 0, "h", 1, "restarted"), List.of(first, second), LONG))
                .hasMessageContaining("does not name this rank");
    }

    private static boolean ended(Socket socket) throws IOException {
        try {
            return socket.getInputStream().read() == -1;
        } catch (SocketException e) {
            // Reset: it did not even read what we sent.
            return true;
        }
    }

    private static float[] values(int rank, int count) {
        Random random = new Random(rank);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian() * (1 + rank * 1_000);
        }
        return values;
    }
}
