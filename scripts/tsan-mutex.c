// Shows Swift's Mutex to Thread Sanitizer. For tests only: scripts/tsan-mutex builds it, to be preloaded.
//
// A Mutex nobody waits for is an atomic exchange, inlined into our code, which TSan sees. One that is waited
// for changes hands in the kernel (FUTEX_LOCK_PI), called from libswiftSynchronization, which is not
// instrumented: TSan misses that one critical section came before the other, and reports what the lock
// protects, and what was handed over under it, as races. So these three functions of the library are put
// before its own; they do the same, and tell TSan.
//
// Considered: suppressions. They match by name, so they also hide true races below any frame with such a name,
// and cannot match what is handed over, which is used elsewhere.
//
// The names are the library's ABI (swift: stdlib/public/Synchronization/Mutex/LinuxImpl.swift).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

// Weak, because this is loaded into every process a test starts, and not all of them are sanitized.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

// The library's own function. Looked up at each call: whoever calls has the library loaded by then.
static void *own(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "tsan-mutex: libswiftSynchronization has no %s\n", name);
        abort();
    }
    return function;
}

SWIFT void lock_slow(uint32_t thread, SELF mutex) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF mutex) {
    SWIFT void (*lock)(uint32_t, SELF) = own(LOCK);
    lock(thread, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT bool try_lock_slow(SELF mutex) __asm__(TRY_LOCK);
SWIFT bool try_lock_slow(SELF mutex) {
    SWIFT bool (*try_lock)(SELF) = own(TRY_LOCK);
    bool is_locked = try_lock(mutex);
    if (is_locked && __tsan_acquire) __tsan_acquire(mutex);
    return is_locked;
}

SWIFT void unlock_slow(SELF mutex) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF mutex) {
    SWIFT void (*unlock)(SELF) = own(UNLOCK);
    if (__tsan_release) __tsan_release(mutex);
    unlock(mutex);
}
