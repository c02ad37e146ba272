import Glibc
import Testing

@testable import HeraldSockets

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
        var listener = try Listener(host: "127.0.0.1", port: 0, backlog: 8)
        let port = listener.port
        var failuresLeft = 0
        func take(_ listener: Int32) -> Int32 {
            guard failuresLeft > 0 else { return Listener.take(listener) }
            failuresLeft -= 1
            errno = EMFILE
            return -1
        }

        // The first accept fails; the one made with the reserve's descriptor succeeds.
        failuresLeft = 1
        let refused = try TestClient(port: port)
        let outcome = listener.accept(take)
        #expect(outcome == .exhausted(isStuck: false))
        #expect(try refused.head().hasPrefix("HTTP/1.1 503 "))
        #expect(try refused.rest().isEmpty == false)

        let served = try TestClient(port: port)
        let descriptor = try #require(isAlive(listener.accept(take)))
        close(descriptor)
        #expect(try served.isEnded())

        // Both fail: the connection stays in the queue, and asking again at once would spin.
        failuresLeft = 2
        let waiting = try TestClient(port: port)
        let stuck = listener.accept(take)
        #expect(stuck == .exhausted(isStuck: true))
        let later = try #require(isAlive(listener.accept(take)))
        close(later)
        #expect(try waiting.isEnded())
    }

    @Test func `behind TLS a connection is turned away without a word, which nobody would understand`() throws
    {
        var listener = try Listener(host: "127.0.0.1", port: 0, backlog: 8, speaksHTTP: false)
        var hasFailed = false
        let refused = try TestClient(port: listener.port)
        let outcome = listener.accept { descriptor in
            guard hasFailed else {
                hasFailed = true
                errno = EMFILE
                return -1
            }
            return Listener.take(descriptor)
        }
        #expect(outcome == .exhausted(isStuck: false))
        #expect(try refused.isEnded())
    }

    @Test func `what is no address cannot be listened on`() {
        for (host, port) in [("localhost", 0), ("", 0), ("127.0.0.1", -1), ("127.0.0.1", 65_536)] {
            #expect(throws: SocketEngineError.self) { _ = try Listener(host: host, port: port, backlog: 1) }
        }
    }
}
