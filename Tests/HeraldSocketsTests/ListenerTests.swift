import Glibc
import Synchronization
import Testing

@testable import HeraldSockets

/// How often the accept below is still to fail for want of descriptors. One test uses it.
private let failuresLeft = Atomic<Int>(0)

@Suite struct ListenerTests {
    private func isAlive(_ accepted: Listener.Accepted) -> Int32? {
        if case .connection(let descriptor) = accepted { descriptor } else { nil }
    }

    @Test func `accepted sockets send without delay`() throws {
        var listener = try Listener(host: "127.0.0.1", port: 0, backlog: 8)
        let client = try TestClient(port: listener.port)
        let (first, second) = (listener.accept(), listener.accept())
        let descriptor = try #require(isAlive(first))
        defer { close(descriptor) }
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &size)
        #expect(value != 0)
        #expect(second == .none)
        _ = client
    }

    @Test func `listeners share a port`() throws {
        let first = try Listener(host: "127.0.0.1", port: 0, backlog: 8)
        let second = try Listener(host: "127.0.0.1", port: first.port, backlog: 8)
        let (a, b) = (first.port, second.port)
        #expect(a == b && a > 0)
    }

    @Test func `without descriptors a connection is turned away with a word, and the next is served`() throws
    {
        var listener = try Listener(host: "127.0.0.1", port: 0, backlog: 8, calls: try exhausted())
        let port = listener.port
        // The first accept fails; the one made with the reserve's descriptor succeeds.
        failuresLeft.store(1, ordering: .relaxed)
        let refused = try TestClient(port: port)
        let outcome = listener.accept()
        #expect(outcome == .exhausted(isStuck: false))
        #expect(try refused.head().hasPrefix("HTTP/1.1 503 "))
        #expect(try refused.rest().isEmpty == false)

        let served = try TestClient(port: port)
        let descriptor = try #require(isAlive(listener.accept()))
        close(descriptor)
        #expect(try served.isEnded())

        // Both fail: the connection stays in the queue, and asking again at once would spin.
        failuresLeft.store(2, ordering: .relaxed)
        let waiting = try TestClient(port: port)
        let stuck = listener.accept()
        #expect(stuck == .exhausted(isStuck: true))
        let later = try #require(isAlive(listener.accept()))
        close(later)
        #expect(try waiting.isEnded())
    }

    @Test func `what is no address cannot be listened on`() {
        for (host, port) in [("localhost", 0), ("", 0), ("127.0.0.1", -1), ("127.0.0.1", 65_536)] {
            #expect(throws: SocketEngineError.self) { _ = try Listener(host: host, port: port, backlog: 1) }
        }
    }

    /// libc's calls, but for an accept that fails as often as it is told to.
    private func exhausted() throws -> LinuxCalls {
        var calls = try #require(LinuxCalls.loaded)
        calls.accept = { listener, address, length, flags in
            guard failuresLeft.load(ordering: .relaxed) == 0 else {
                failuresLeft.subtract(1, ordering: .relaxed)
                errno = EMFILE
                return -1
            }
            return LinuxCalls.loaded?.accept(listener, address, length, flags) ?? -1
        }
        return calls
    }
}
