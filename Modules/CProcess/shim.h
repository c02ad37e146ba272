// Two calls of Linux's libc that Swift's Glibc module does not show: prctl because it is variadic,
// posix_spawn_file_actions_addclosefrom_np because it is behind _GNU_SOURCE. Nothing of ours besides.
#ifndef HERALD_CPROCESS_H
#define HERALD_CPROCESS_H

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>

extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

// Has the kernel send this signal when the thread that made this process ends. 0, or -1 with errno.
static inline int cprocess_signal_on_parent_death(int signal_number) {
    return prctl(PR_SET_PDEATHSIG, (unsigned long)signal_number, 0UL, 0UL, 0UL);
}

// In the child, closes every descriptor from this one on. 0, or an error number.
static inline int cprocess_close_from(posix_spawn_file_actions_t *actions, int from) {
    return posix_spawn_file_actions_addclosefrom_np(actions, from);
}

#endif
