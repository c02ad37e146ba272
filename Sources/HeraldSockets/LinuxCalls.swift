import Glibc

/// The functions of Linux's libc that Swift's Glibc module leaves out.
///
/// It imports neither <sys/epoll.h> nor <sys/eventfd.h>, nor what only _GNU_SOURCE declares, and this target
/// has no C of its own. So they are looked up by name and called with C's convention. Considered:
/// `@_silgen_name` (Swift's calling convention, right by luck) and a module map for the headers (better,
/// once the package has one: then this file goes).
struct LinuxCalls: Sendable {
    /// `epoll_create1(flags)`
    let createEpoll: @convention(c) (Int32) -> Int32
    /// `epoll_ctl(epoll, operation, descriptor, event)`
    let controlEpoll: @convention(c) (Int32, Int32, Int32, UnsafeMutableRawPointer?) -> Int32
    /// `epoll_wait(epoll, events, eventsMax, milliseconds)`
    let waitEpoll: @convention(c) (Int32, UnsafeMutableRawPointer?, Int32, Int32) -> Int32
    /// `eventfd(value, flags)`
    let createEventDescriptor: @convention(c) (UInt32, Int32) -> Int32
    /// `accept4(listener, address, length, flags)`
    var accept: @convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int32) -> Int32
    /// `pthread_setname_np(thread, name)`
    let nameThread: @convention(c) (pthread_t, UnsafePointer<CChar>) -> Int32

    /// The flags of all of them, which the kernel gives the values of O_CLOEXEC and O_NONBLOCK.
    static let closeOnExecute = O_CLOEXEC
    static let nonBlocking = O_NONBLOCK

    /// nil where libc is none of Linux's.
    static let loaded: LinuxCalls? = {
        guard let createEpoll = dlsym(nil, "epoll_create1"), let controlEpoll = dlsym(nil, "epoll_ctl"),
            let waitEpoll = dlsym(nil, "epoll_wait"), let createEventDescriptor = dlsym(nil, "eventfd"),
            let accept = dlsym(nil, "accept4"), let nameThread = dlsym(nil, "pthread_setname_np")
        else { return nil }
        return LinuxCalls(
            createEpoll: unsafeBitCast(createEpoll, to: (@convention(c) (Int32) -> Int32).self),
            controlEpoll: unsafeBitCast(
                controlEpoll,
                to: (@convention(c) (Int32, Int32, Int32, UnsafeMutableRawPointer?) -> Int32).self
            ),
            waitEpoll: unsafeBitCast(
                waitEpoll,
                to: (@convention(c) (Int32, UnsafeMutableRawPointer?, Int32, Int32) -> Int32).self
            ),
            createEventDescriptor: unsafeBitCast(
                createEventDescriptor,
                to: (@convention(c) (UInt32, Int32) -> Int32).self
            ),
            accept: unsafeBitCast(
                accept,
                to: (@convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int32) ->
                    Int32)
                    .self
            ),
            nameThread: unsafeBitCast(
                nameThread,
                to: (@convention(c) (pthread_t, UnsafePointer<CChar>) -> Int32).self
            )
        )
    }()
}
