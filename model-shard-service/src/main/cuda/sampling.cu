// From logits to the next token, on the device, so that the id never leaves it before the next step has begun. The order of
// application and the draw are those of io.penstock.shard.sampling.Sampler.
//
// Nothing is sorted. Probabilities become whole numbers (2^-40 of the best token's), whose sums do not depend on the order
// of addition; a place in the descending order is found by a histogram over the distance from the best logit, then by the
// logit's own bits among those of one bin, which are few and are listed first.
#include "common.cuh"

constexpr int THREADS = 1024, WARPS = THREADS / 32, BINS = 2048, TOP = 20, RECORD = 44;
constexpr float BINS_A_NAT = 64.f;
constexpr double ONE = 1099511627776.0;  // 2^40

// One slot's sampling, as SlotRecord.java writes it.
struct Slot {
    float temperature, topP, minP, repetition, frequency, presence;
    int topK, topLogprobs, minTokens, penalises, biases, stops;
    u32 seedLow, seedHigh, unused0, unused1;
    int list[1];  // biased tokens, their biases, stop tokens
};

struct Sampling {
    float* logits;       // [samples, vocabulary]
    float* edited;       // as large
    int* slots;          // [slot, slotWords]
    int* occurrences;    // [slot, vocabulary]: 0 for absent, else 1 + 2 * times generated
    int* last;           // [slot]
    // Host memory, [parity of the step, maxSamples, RECORD]: token, log-probability, alternatives, fault; then the
    // alternatives' ids and log-probabilities.
    int* out;
    int vocabulary, slotWords, maxSamples;
};

FORCE u32 ordered(float v) {
    const u32 u = __float_as_uint(v);
    return u ^ ((u32)((int)u >> 31) | 0x80000000u);
}

struct Shared {
    u64 mass[BINS];
    u32 count[BINS];
    // Of one bin: by eight bits of the logits, and all of it, where no more than THREADS tokens are in it.
    u64 digitMass[256];
    u32 digitCount[256];
    float listed[THREADS];
    int listedId[THREADS];
    u32 listedCount;
    u64 scan[32];
    u64 value;
    u32 index;
    int found[TOP];
    float foundLogit[TOP];
};

// A place in the descending order (equal logits: lower id first): the `rank`-th of those with `key`.
struct Place {
    u32 key, rank, ties;
    u64 massBefore, mass;  // of all tokens before `key`; of one token with it
};

// Which tokens take part, and what each weighs.
struct Weights {
    float max;
    double inverseTemperature, floor;
    FORCE bool has(float logit) const { return logit != NEG_INF && !((double)logit < floor); }
    FORCE u64 of(float logit) const {
        const float p = expf((float)(((double)logit - (double)max) * inverseTemperature));
        return (u64)__double2ll_rn((double)p * ONE);
    }
    FORCE int bin(float logit) const { return min((int)((max - logit) * BINS_A_NAT), BINS - 1); }
};

FORCE u64 blockSum64(u64 v, Shared& s) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    __syncthreads();
    if (threadIdx.x % 32 == 0) s.scan[threadIdx.x / 32] = v;
    __syncthreads();
    u64 t = 0;
    for (int i = 0; i < WARPS; i++) t += s.scan[i];
    return t;
}

// Adds to a sum in shared memory, which has no such instruction for 64 bits: a loop would wait for whoever else adds.
FORCE void add(u64* to, u64 v) {
    u32* halves = (u32*)to;
    const u32 low = (u32)v, before = atomicAdd(halves, low), high = (u32)(v >> 32) + (before + low < low);
    if (high) atomicAdd(halves + 1, high);
}

// Calls f(logit, id) for all of a row, for each thread's in id order. One block alone reads all of it: many loads must be on
// their way at once, QUADS of 16 bytes a thread.
template <int QUADS, typename F>
FORCE void each(const float* row, int n, F f) {
    if (n % 4 != 0) {
#pragma unroll 4
        for (int i = threadIdx.x; i < n; i += THREADS) f(row[i], i);
        return;
    }
    for (int from = threadIdx.x; from < n / 4; from += QUADS * THREADS) {
        float4 v[QUADS];
#pragma unroll
        for (int k = 0; k < QUADS; k++) {
            if (from + k * THREADS < n / 4) v[k] = ((const float4*)row)[from + k * THREADS];
        }
#pragma unroll
        for (int k = 0; k < QUADS; k++) {
            const int i = from + k * THREADS;
            if (i >= n / 4) break;
            f(v[k].x, 4 * i);
            f(v[k].y, 4 * i + 1);
            f(v[k].z, 4 * i + 2);
            f(v[k].w, 4 * i + 3);
        }
    }
}

// The largest value and, of equals, the lowest id; NaN wins over all. Everyone gets it.
FORCE int blockArgmax(const float* row, int n, Shared& s) {
    u32 most = 0;
    int at = 0;
    each<4>(row, n, [&](float v, int i) {
        const u32 key = v != v ? 0xffffffffu : ordered(v);
        if (key > most) {
            most = key;
            at = i;
        }
    });
    u64 best = (u64)most << 32 | (u32)~at;
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        const u64 other = __shfl_xor_sync(~0u, best, o);
        best = other > best ? other : best;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) s.scan[threadIdx.x / 32] = best;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) best = s.scan[i] > best ? s.scan[i] : best;
    return (int)~(u32)best;
}

// First bin, from `from` on, at which the running sum of counts (or of masses) passes the target; at most `bins` bins.
// `past`: greater than the target rather than equal to it. One warp; leaves the sums before the bin in s.scan[0..1].
FORCE void findBin(const u64* mass, const u32* count, int bins, bool descending, bool byMass, u64 target, bool past, u64 massBefore,
                   u64 countBefore, Shared& s) {
    __syncthreads();
    if (threadIdx.x < 32) {
        const int lane = threadIdx.x;
        int last = -1;
        u64 lastMass = 0, lastCount = 0;
        bool done = false;
        for (int base = 0; base < bins && !done; base += 32) {
            const int i = descending ? bins - 1 - base - lane : base + lane;
            u64 m = mass[i], c = count[i], sumM = m, sumC = c;
#pragma unroll
            for (int o = 1; o < 32; o <<= 1) {
                const u64 a = __shfl_up_sync(~0u, sumM, o), b = __shfl_up_sync(~0u, sumC, o);
                if (lane >= o) {
                    sumM += a;
                    sumC += b;
                }
            }
            const u64 reached = byMass ? massBefore + sumM : countBefore + sumC;
            const u32 hit = __ballot_sync(~0u, c != 0 && (past ? reached > target : reached >= target));
            const u32 some = __ballot_sync(~0u, c != 0);
            if (hit || some) {
                // Rounding may leave the target out of reach: the last bin with any token serves then.
                const int at = hit ? __ffs(hit) - 1 : 31 - __clz(some);
                last = __shfl_sync(~0u, i, at);
                lastMass = massBefore + __shfl_sync(~0u, sumM - m, at);
                lastCount = countBefore + __shfl_sync(~0u, sumC - c, at);
                done = hit != 0;
            }
            massBefore += __shfl_sync(~0u, sumM, 31);
            countBefore += __shfl_sync(~0u, sumC, 31);
        }
        if (lane == 0) {
            s.index = (u32)last;
            s.scan[0] = lastMass;
            s.scan[1] = lastCount;
        }
    }
    __syncthreads();
}

FORCE void histogram(const float* row, int n, const Weights& w, Shared& s) {
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS) {
        s.mass[i] = 0;
        s.count[i] = 0;
    }
    __syncthreads();
    each<2>(row, n, [&](float v, int) {
        if (!w.has(v)) return;
        add(&s.mass[w.bin(v)], w.of(v));
        atomicAdd(&s.count[w.bin(v)], 1u);
    });
    __syncthreads();
}

// The first place at which the count (or mass) of all before it and itself reaches the target. Uses the bins of
// `histogram`, and leaves them; lists the place's bin where that is possible.
FORCE Place find(const float* row, int n, const Weights& w, bool byMass, u64 target, bool past, Shared& s) {
    findBin(s.mass, s.count, BINS, false, byMass, target, past, 0, 0, s);
    const int bin = (int)s.index;
    const bool few = s.count[bin] <= THREADS;
    u64 massBefore = s.scan[0], countBefore = s.scan[1];
    u32 prefix = 0;
    if (threadIdx.x == 0) s.listedCount = 0;
    __syncthreads();
    if (few) {
        each<4>(row, n, [&](float v, int i) {
            if (w.bin(v) != bin || !w.has(v)) return;
            const u32 at = atomicAdd(&s.listedCount, 1u);
            s.listed[at] = v;
            s.listedId[at] = i;
        });
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int i = threadIdx.x; i < 256; i += THREADS) {
            s.digitMass[i] = 0;
            s.digitCount[i] = 0;
        }
        __syncthreads();
        const auto meet = [&](float v) {
            const u32 key = ordered(v);
            if (shift < 24 && (key ^ prefix) >> (shift + 8) != 0) return;
            add(&s.digitMass[key >> shift & 255], w.of(v));
            atomicAdd(&s.digitCount[key >> shift & 255], 1u);
        };
        if (!few) {
            each<1>(row, n, [&](float v, int i) {
                if (w.bin(v) == bin && w.has(v)) meet(v);
            });
        } else if (threadIdx.x < s.listedCount) {
            meet(s.listed[threadIdx.x]);
        }
        __syncthreads();
        findBin(s.digitMass, s.digitCount, 256, true, byMass, target, past, massBefore, countBefore, s);
        prefix |= s.index << shift;
        massBefore = s.scan[0];
        countBefore = s.scan[1];
        __syncthreads();
    }
    Place p;
    p.key = prefix;
    p.ties = s.digitCount[prefix & 255];
    p.massBefore = massBefore;
    p.mass = s.digitMass[prefix & 255] / p.ties;
    __syncthreads();
    u64 rank;
    if (!byMass) {
        rank = target > countBefore + 1 ? target - countBefore - 1 : 0;
    } else if (p.mass == 0) {
        rank = p.ties - 1;
    } else {
        const u64 missing = target > massBefore ? target - massBefore : 0;
        // past: smallest r with (r + 1) * mass > missing; else with (r + 1) * mass >= missing.
        rank = past ? missing / p.mass : missing == 0 ? 0 : (missing - 1) / p.mass;
    }
    p.rank = (u32)(rank < p.ties ? rank : p.ties - 1);
    return p;
}

FORCE bool before(const Place& a, const Place& b) { return a.key > b.key || (a.key == b.key && a.rank < b.rank); }
FORCE u64 massUpTo(const Place& p) { return p.massBefore + (u64)(p.rank + 1) * p.mass; }

// The id at a place: the rank-th, in id order, of those with its key.
FORCE int idAt(const float* row, int n, const Place& p, Shared& s) {
    __syncthreads();
    if (threadIdx.x == 0) s.index = 0xffffffffu;
    __syncthreads();
    // Equal logits are in one bin: where one of them is listed, all are.
    if (threadIdx.x < s.listedCount && ordered(s.listed[threadIdx.x]) == p.key) {
        u32 rank = 0;
        for (u32 i = 0; i < s.listedCount; i++) rank += ordered(s.listed[i]) == p.key && s.listedId[i] < s.listedId[threadIdx.x];
        if (rank == p.rank) s.index = (u32)s.listedId[threadIdx.x];
    }
    __syncthreads();
    int low = (int)s.index;
    if (low >= 0) return low;
    for (u32 r = 0; r <= p.rank; r++) {
        __syncthreads();
        if (threadIdx.x == 0) s.index = 0xffffffffu;
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += THREADS) {
            if (i > low && ordered(row[i]) == p.key) {
                atomicMin(&s.index, (u32)i);
                break;
            }
        }
        __syncthreads();
        low = (int)s.index;
    }
    return low;
}

// Philox4x32-10 (Salmon et al., SC11): the first 64 bits of the block (position, key).
FORCE u64 philox(u64 counter, u64 key) {
    u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = 0, c3 = 0, k0 = (u32)key, k1 = (u32)(key >> 32);
#pragma unroll
    for (int i = 0; i < 10; i++) {
        const u64 a = (u64)0xD2511F53u * c0, b = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(b >> 32) ^ c1 ^ k0;
        c2 = (u32)(a >> 32) ^ c3 ^ k1;
        c1 = (u32)b;
        c3 = (u32)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (u64)c1 << 32 | c0;
}

// The first id at which the sum of the weights of all up to it passes `uniform` of their sum: first the part of the row, a
// warp's each, then the id in it.
FORCE int drawInIdOrder(const float* row, int n, const Weights& w, double uniform, Shared& s) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, part = (n + WARPS - 1) / WARPS;
    const auto weight = [&](int i) { return w.has(row[i]) ? w.of(row[i]) : 0; };
    u64 sum = 0;
#pragma unroll 8
    for (int i = warp * part + lane; i < min(n, (warp + 1) * part); i += 32) sum += weight(i);
#pragma unroll
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    __syncthreads();
    if (lane == 0) s.scan[warp] = sum;
    __syncthreads();
    u64 all = 0, before = 0;
    for (int i = 0; i < WARPS; i++) all += s.scan[i];
    // uniform < 1, so the target lies under `all` but for rounding.
    const u64 target = min((u64)(uniform * (double)all), all - 1);
    int at = 0;
    for (; before + s.scan[at] <= target; at++) before += s.scan[at];
    const int own = (part + THREADS - 1) / THREADS, end = min(n, (at + 1) * part);
    const int from = min(end, at * part + (int)threadIdx.x * own), to = min(end, from + own);
    sum = 0;
    for (int i = from; i < to; i++) sum += weight(i);
    u64 upTo = sum;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const u64 v = __shfl_up_sync(~0u, upTo, o);
        if (lane >= o) upTo += v;
    }
    __syncthreads();
    if (lane == 31) s.scan[warp] = upTo;
    __syncthreads();
    for (int i = 0; i < warp; i++) before += s.scan[i];
    before += upTo - sum;
    // One thread's.
    if (before <= target && target < before + sum) {
        int i = from;
        for (before += weight(i); before <= target; before += weight(i)) i++;
        s.index = (u32)i;
    }
    __syncthreads();
    return (int)s.index;
}

FORCE int draw(const float* row, int n, float max, const Slot& slot, int position, Shared& s) {
    const double uniform = (double)(philox((u64)(i64)position, (u64)slot.seedHigh << 32 | slot.seedLow) >> 11) * 0x1p-53;
    Weights w;
    w.max = max;
    w.inverseTemperature = 1.0 / (double)slot.temperature;
    w.floor = (double)max + log((double)slot.minP) * (double)slot.temperature;
    const int topK = slot.topK == 0 ? n : slot.topK;
    // No truncation: the draw runs in id order.
    if (topK >= n && slot.topP >= 1.f) return drawInIdOrder(row, n, w, uniform, s);
    histogram(row, n, w, s);
    u64 total = 0, count = 0;
    {
        u64 m = 0, c = 0;
        for (int i = threadIdx.x; i < BINS; i += THREADS) {
            m += s.mass[i];
            c += s.count[i];
        }
        total = blockSum64(m, s);
        count = blockSum64(c, s);
    }
    Place end;
    bool bounded = false;
    if ((u64)topK < count) {
        end = find(row, n, w, false, (u64)topK, false, s);
        total = massUpTo(end);
        bounded = true;
    }
    if (slot.topP < 1.f) {
        const double wanted = (double)slot.topP * (double)total;
        u64 target = (u64)wanted;
        if ((double)target < wanted) target++;
        const Place p = find(row, n, w, true, target, false, s);
        if (!bounded || before(p, end)) end = p;
        bounded = true;
        total = massUpTo(end);
    }
    Place p = find(row, n, w, true, min((u64)(uniform * (double)total), total - 1), true, s);
    if (bounded && before(end, p)) p = end;
    return idAt(row, n, p, s);
}

// grid: samples. Leaves the id in last[slot] and the record in out.
extern "C" __global__ void __launch_bounds__(THREADS) sample(Step step, Sampling in) {
    dependentsLaunch();
    __shared__ Shared s;
    const int index = blockIdx.x, n = in.vocabulary, t = threadIdx.x, samples = step.samples();
    const int id = step.sampleSlot()[index], position = step.samplePosition()[index];
    dependencyWait();
    if (index >= samples) return;
    const Slot& slot = *(const Slot*)(in.slots + (i64)id * in.slotWords);
    const float* row = in.logits + (i64)index * n;
    int* out = in.out + ((i64)step.parity() * in.maxSamples + index) * RECORD;

    int best = blockArgmax(row, n, s);
    const float max = row[best];
    bool fault = !(fabsf(max) < __int_as_float(0x7f800000));
    double logSum = 0;
    const int alternatives = min(slot.topLogprobs, min(n, TOP));
    if (!fault && slot.topLogprobs >= 0) {
        double sum = 0;
        each<4>(row, n, [&](float v, int) { sum += (double)expf(v - max); });
#pragma unroll
        for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
        __syncthreads();
        if (t % 32 == 0) s.scan[t / 32] = (u64)__double_as_longlong(sum);
        __syncthreads();
        sum = 0;
        for (int i = 0; i < WARPS; i++) sum += __longlong_as_double((i64)s.scan[i]);
        logSum = (double)max + log(sum);
        __syncthreads();
    }
    if (!fault && alternatives > 0) {
        Weights w;
        w.max = max;
        w.inverseTemperature = 1;
        w.floor = (double)NEG_INF;
        histogram(row, n, w, s);
        const Place end = find(row, n, w, false, (u64)alternatives, false, s);
        __syncthreads();
        if (t == 0) s.index = 0;
        __syncthreads();
        each<4>(row, n, [&](float v, int i) {
            if (v == NEG_INF || ordered(v) <= end.key) return;
            const u32 at = atomicAdd(&s.index, 1u);
            s.found[at] = i;
            s.foundLogit[at] = v;
        });
        __syncthreads();
        const int above = (int)s.index;
        Place tie = end;
        int held = above;
        for (u32 r = 0; r <= end.rank && held < alternatives; r++, held++) {
            tie.rank = r;
            const int found = idAt(row, n, tie, s);
            if (t == 0) {
                s.found[held] = found;
                s.foundLogit[held] = row[found];
            }
        }
        __syncthreads();
        if (t < held) {
            // Its place among so few: the number of those before it.
            int place = 0;
            for (int i = 0; i < held; i++)
                place += s.foundLogit[i] > s.foundLogit[t] || (s.foundLogit[i] == s.foundLogit[t] && s.found[i] < s.found[t]);
            out[4 + place] = s.found[t];
            out[4 + TOP + place] = __float_as_int((float)((double)s.foundLogit[t] - logSum));
        }
        if (t == 0) out[2] = held;
    } else if (t == 0) {
        out[2] = 0;
    }

    const float* original = row;
    if (!fault && (slot.biases || slot.penalises || (position < slot.minTokens && slot.stops))) {
        float* edited = in.edited + (i64)index * n;
        __syncthreads();
        for (int i = t; i < n; i += THREADS) edited[i] = row[i];
        __syncthreads();
        for (int i = t; i < slot.biases; i += THREADS) edited[slot.list[i]] += __int_as_float(slot.list[slot.biases + i]);
        __syncthreads();
        if (position < slot.minTokens) {
            for (int i = t; i < slot.stops; i += THREADS) edited[slot.list[2 * slot.biases + i]] = NEG_INF;
            __syncthreads();
        }
        if (slot.penalises) {
            const int* seen = in.occurrences + (i64)id * n;
            for (int i = t; i < n; i += THREADS) {
                const int occurrences = seen[i];
                if (occurrences == 0) continue;
                float v = edited[i];
                v = v > 0 ? __fdiv_rn(v, slot.repetition) : __fmul_rn(v, slot.repetition);
                const int generated = occurrences >> 1;
                if (generated > 0) v = __fsub_rn(v, __fadd_rn(__fmul_rn(slot.frequency, (float)generated), slot.presence));
                edited[i] = v;
            }
            __syncthreads();
        }
        row = edited;
        best = blockArgmax(row, n, s);
        fault = !(fabsf(row[best]) < __int_as_float(0x7f800000));
    }
    int token = best;
    if (!fault && slot.temperature != 0.f) token = draw(row, n, row[best], slot, position, s);
    if (t == 0) {
        out[0] = token;
        out[1] = __float_as_int(slot.topLogprobs >= 0 ? (float)((double)original[token] - logSum) : 0.f);
        out[3] = fault;
        in.last[id] = token;
        if (slot.penalises) {
            int* seen = in.occurrences + (i64)id * n + token;
            *seen = (*seen == 0 ? 1 : *seen) + 2;
        }
    }
}
