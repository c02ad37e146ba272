// A TCP proxy that does harm when told to: it delays, holds one direction, cuts and mends.
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

    /// Ends every fault; what was held or delayed passes at once.
    public func mend() {
        loop.steer { state in
            state.isCut = false
            for direction in Direction.allCases { state.flows[direction] = FaultProxyFlow() }
        }
    }

    /// Connections that are open on either side.
    public var connections: Int { loop.look { $0.connections.count } }

    /// Bytes that arrived and have not been passed on.
    public func bytesWaiting(_ direction: Direction) -> Int {
        loop.look { state in
            state.connections.values.reduce(0) { $0 + ($1.pipes[direction]?.bytesWaiting ?? 0) }
        }
    }
}
