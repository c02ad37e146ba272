// What scripts/tsan-mutex proves itself with. Threads contend for a Mutex, hand objects over through it and
// go on with them outside: correct, so nothing may be reported. With the argument `race` they write to one
// object when they have let the Mutex go: that must be reported.
import Glibc
import Synchronization

final class Counter: @unchecked Sendable {
    // Safe because one thread at a time has it, but for `shared`, which is the race.
    var value = 0
}

enum Common {
    static let shared = Counter()
    static let mailbox = Mutex<[Counter]>([])
}

func produce(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    for round in 0..<20_000 {
        let counter = Counter()
        counter.value = round
        Common.mailbox.withLock { $0.append(counter) }
        _ = Common.mailbox.withLockIfAvailable { $0.append(Counter()) }
    }
    return nil
}

func consume(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    for _ in 0..<20_000 {
        let taken = Common.mailbox.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for counter in taken { counter.value += 1 }
    }
    return nil
}

/// The write comes after the last lock, so that no order of the threads makes it right.
func race(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    Common.mailbox.withLock { $0 = [] }
    Common.shared.value += 1
    return nil
}

let races = CommandLine.arguments.contains("race")
var threads = [pthread_t](repeating: 0, count: 4)
for index in threads.indices {
    guard pthread_create(&threads[index], nil, races ? race : index < 2 ? produce : consume, nil) == 0
    else { exit(1) }
}
for thread in threads { pthread_join(thread, nil) }
