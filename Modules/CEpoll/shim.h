// What Swift's Glibc module does not show of Linux's libc: epoll and eventfd because it leaves their headers
// out, two functions because they are behind _GNU_SOURCE. Nothing of ours besides.
//
// <sys/socket.h> is not included here: its constants would then belong to this module and be missing where
// only Glibc is imported.
#ifndef HERALD_CEPOLL_H
#define HERALD_CEPOLL_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct sockaddr;
extern int accept4(int listener, struct sockaddr *address, unsigned int *length, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);

// Takes a connection from the queue, with SOCK_NONBLOCK and SOCK_CLOEXEC as flags. -1 with errno.
static inline int cepoll_accept(int listener, int flags) {
    return accept4(listener, 0, 0, flags);
}

// Names a thread, in at most 15 bytes. 0, or an error number.
static inline int cepoll_name_thread(pthread_t thread, const char *name) {
    return pthread_setname_np(thread, name);
}

#endif
