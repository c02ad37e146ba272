// Lets a test say how late it is for a redis-server. For tests only: OwnRedis builds it and preloads it.
//
// Leases, mappings and claims end by Redis's clock. A test that waits for it is slow where the time is long, and
// wrong where the machine stands still for longer than the time. So Redis gets a clock that runs ahead of the
// machine's by what stands in a file, eight bytes of microseconds, which the test writes: any time passes at once,
// and times can be so long that none passes by itself.
//
// Redis takes all of its wall-clock time from gettimeofday (7.0: `ustime`, and TIME); what it measures its own work
// by is another clock, which stays as it is.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HERALD_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) ahead = page;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *restrict, void *restrict);
    if (!real) real = (int (*)(struct timeval *restrict, void *restrict))dlsym(RTLD_NEXT, "gettimeofday");
    int answer = real(now, zone);
    if (answer != 0 || !ahead) return answer;
    int64_t sum = (int64_t)now->tv_usec + *ahead;
    now->tv_sec += sum / 1000000;
    now->tv_usec = sum % 1000000;
    return 0;
}
