// One request of a program to the callgrind that it runs under: forget what was counted so far. As <valgrind/valgrind.h>
// encodes it (instructions that do nothing on the processor itself); that header is not needed to build.
#ifndef HERALD_CVALGRIND_H
#define HERALD_CVALGRIND_H

#include <stdint.h>

static inline void cvalgrind_zero_stats(void) {
    // CALLGRIND_ZERO_STATS: the tool's two letters, and its number.
    volatile uint64_t request[6] = {((uint64_t)'C' << 24) + ((uint64_t)'T' << 16) + 1, 0, 0, 0, 0, 0};
#if defined(__x86_64__)
    uint64_t result = 0;
    __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
                     : "=d"(result)
                     : "a"(&request[0]), "0"(result)
                     : "cc", "memory");
#elif defined(__aarch64__)
    __asm__ volatile("mov x3, xzr; mov x4, %0; ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51;"
                     "ror x12, x12, #61; orr x10, x10, x10"
                     :
                     : "r"(&request[0])
                     : "cc", "memory", "x3", "x4");
#endif
}

#endif
