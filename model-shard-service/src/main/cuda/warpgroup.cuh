// Hopper's products by warpgroups, of operands in shared memory, and its ways of sharing registers among warps.
#pragma once
#include "pipeline.cuh"

// A shared matrix of rows of 128 bytes, permuted by 16, for the tensor cores: its descriptor's two words, of which sums of
// addresses need the first one only.
constexpr int ROWS_FOLLOW = 1 << 30 | 1024 >> 4;  // the other
FORCE u32 matrixWord(u32 address) { return (address & 0x3ffff) >> 4; }
FORCE u64 matrixAt(u32 address) { return matrixWord(address) | (u64)ROWS_FOLLOW << 32; }
FORCE void productFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
FORCE void productCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT>
FORCE void productWait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory"); }

// What tensor cores write, or read, is not touched before this.
template <int COUNT>
FORCE void settled(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(d[i])::"memory");
}
template <int COUNT>
FORCE void settled(u32 (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+r"(d[i])::"memory");
}

// Lists of an instruction's registers, eight at a time.
#define N0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define N1 N0 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define N2 N1 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define N3 N2 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define D0(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define D1(i) D0(i), D0(i + 8)
#define D2(i) D1(i), D1(i + 16)
#define D3(i) D2(i), D2(i + 32)

// Registers of a thread, of a warp's group of four: with more than eight warps a thread has 168 at first.
template <int COUNT>
FORCE void registersDown() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT)); }
template <int COUNT>
FORCE void registersUp() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT)); }
