// A TCP proxy that does harm when told to: it delays, holds or swallows one direction, cuts and mends.
//
// A test puts one in front of Redis for each node, so that one node's link can be ill while the others' are well.
// What is held or delayed is kept and still arrives, also when its sender has given up and closed meanwhile: that
// is what makes a command happen late. A cut loses everything under way.
//
// One thread runs it with `poll`. It and those who steer share one lock, so that an order holds from the moment
// at which the call returns: after `hold` not one byte more passes.

import Glibc
import Synchronization

/// A TCP proxy in front of one port of the loopback.
public final class FaultProxy: Sendable {
    public enum Direction: Sendable, CaseIterable {
        case toServer
        case toClient
    }

    /// Where it listens.
    public var port: Int { loop.port }
    private let loop: FaultProxyLoop

    /// Why it cannot run; `code` is the system's.
    public struct Failure: Error {
        public let what: String
        public let code: Int32
    }

    /// Listens on a free port of the loopback and passes everything on to `target` until told otherwise.
    ///
    /// - Throws: `Failure` when there is no port or no thread to be had.
    public init(to target: Int) throws {
        loop = try FaultProxyLoop(to: target)
        try loop.start()
    }

    deinit { loop.stop() }

    /// Keeps back what goes in this direction, on all connections and those to come, until `release` or `mend`.
    public func hold(_ direction: Direction) { loop.steer { $0.flows[direction]?.isHeld = true } }

    /// Lets pass what was held, in order.
    public func release(_ direction: Direction) { loop.steer { $0.flows[direction]?.isHeld = false } }

    /// Lets everything in this direction arrive so much later. Less than before: what waits moves up.
    public func delay(_ direction: Direction, by delay: Duration) {
        loop.steer { $0.flows[direction]?.delay = delay }
    }

    /// Resets all connections and refuses new ones until `mend`. What was under way is lost.
    public func cut() {
        loop.steer { state in
            state.isCut = true
            state.resetAll()
        }
    }

    /// Resets all connections once; new ones are welcome.
    public func reset() { loop.steer { $0.resetAll() } }

    /// Resets all connections once, when so many more bytes have passed in this direction: at least one.
    public func reset(after bytes: Int, _ direction: Direction) {
        precondition(bytes > 0, "before the first byte is at once")
        loop.steer { $0.flows[direction]?.bytesLeft = bytes }
    }

    /// Drops from here on what goes in this direction on some of the connections that are open now, as a router does
    /// that has forgotten them: neither side is told. New ones are well.
    ///
    /// - Parameters:
    ///   - direction: which way nothing comes through.
    ///   - said: a text that the client sent among the first bytes of the connection.
    /// - Returns: how many connections that are.
    public func swallow(_ direction: Direction, where said: String) -> Int {
        var count = 0
        loop.steer { state in
            for (id, connection) in state.connections where connection.client(said: said) {
                state.connections[id]?.swallowed.insert(direction)
                count += 1
            }
        }
        return count
    }

    /// Ends every fault; what was held or delayed passes at once.
    public func mend() {
        loop.steer { state in
            state.isCut = false
            for direction in Direction.allCases { state.flows[direction] = FaultProxyFlow() }
            for id in state.connections.keys { state.connections[id]?.swallowed = [] }
        }
    }

    /// Bytes that were passed on in this direction, over all connections.
    public func bytesPassed(_ direction: Direction) -> Int { loop.look { $0.bytesPassed[direction] ?? 0 } }

    /// Connections that are open on either side.
    public var connections: Int { loop.look { $0.connections.count } }

    /// Bytes that arrived and have not been passed on.
    public func bytesWaiting(_ direction: Direction) -> Int {
        loop.look { state in
            state.connections.values.reduce(0) { $0 + ($1.pipes[direction]?.bytesWaiting ?? 0) }
        }
    }
}
