import Glibc
import Synchronization

/// The thread of a `FaultProxy`: accepts, reads, and passes on what the pipes let pass.
final class FaultProxyLoop: Sendable {
    let port: Int
    private let target: Int
    private let listener: Int32
    /// Written to when something changed from outside, and read by the loop.
    private let wakeUp: (write: Int32, read: Int32)
    private let state = Mutex(State())
    private let thread = Mutex<pthread_t?>(nil)

    struct State {
        var flows: [FaultProxy.Direction: FaultProxyFlow] = [
            .toServer: FaultProxyFlow(), .toClient: FaultProxyFlow(),
        ]
        var isCut = false
        var isStopped = false
        var connections: [Int: FaultProxyConnection] = [:]
        var bytesPassed: [FaultProxy.Direction: Int] = [:]
        fileprivate var last = 0

        /// The descriptors are closed by the loop alone, so that none is another's while it is polled.
        mutating func resetAll() {
            for id in connections.keys { connections[id]?.isLost = true }
        }

        /// Gives the receiver of a direction of a connection what may pass now.
        ///
        /// - Returns: when the next of it may pass; nil when that hangs on something else.
        fileprivate mutating func pass(
            _ direction: FaultProxy.Direction,
            of id: Int,
            at now: ContinuousClock.Instant
        ) -> ContinuousClock.Instant? {
            let flow = flows[direction] ?? FaultProxyFlow()
            guard let (bytes, next) = connections[id]?.pass(direction, flow, at: now) else { return nil }
            bytesPassed[direction, default: 0] += bytes
            guard let left = flow.bytesLeft, bytes > 0 else { return next }
            flows[direction]?.bytesLeft = bytes < left ? left - bytes : nil
            if bytes == left { resetAll() }
            return next
        }
    }

    init(to target: Int) throws {
        self.target = target
        (listener, port) = try LoopbackSocket.listening()
        wakeUp = try LoopbackSocket.pipe()
    }

    deinit {
        for descriptor in [listener, wakeUp.write, wakeUp.read] { close(descriptor) }
    }

    func start() throws {
        var handle = pthread_t()
        // Balanced at the thread's end.
        let me = Unmanaged.passRetained(self)
        let failure = pthread_create(
            &handle,
            nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<FaultProxyLoop>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            me.toOpaque()
        )
        guard failure == 0 else {
            me.release()
            throw FaultProxy.Failure(what: "no thread", code: failure)
        }
        thread.withLock { $0 = handle }
    }

    /// Ends the thread and every connection; returns when they are gone.
    func stop() {
        steer { $0.isStopped = true }
        let handle = thread.withLock { handle in
            defer { handle = nil }
            return handle
        }
        if let handle { pthread_join(handle, nil) }
    }

    func look<Answer: Sendable>(_ body: (State) -> Answer) -> Answer { state.withLock { body($0) } }

    func steer(_ change: (inout State) -> Void) {
        state.withLock { change(&$0) }
        var byte: UInt8 = 0
        _ = write(wakeUp.write, &byte, 1)
    }

    // MARK: The thread

    /// What the loop waits for: the wake-up, the listener, then two sides for each connection.
    private struct Watch {
        var polls: [pollfd]
        var connections: [Int]
        var timeoutMilliseconds: Int32
    }

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 1)
        defer { buffer.deallocate() }
        while var watch = state.withLock({ turn(&$0) }) {
            poll(&watch.polls, nfds_t(watch.polls.count), watch.timeoutMilliseconds)
            let heard = watch
            if heard.polls[0].revents != 0 { _ = read(wakeUp.read, buffer.baseAddress, buffer.count) }
            state.withLock { state in
                if heard.polls[1].revents != 0 { accept(&state) }
                for (index, id) in heard.connections.enumerated() {
                    if heard.polls[2 * index + 2].revents != 0 {
                        state.connections[id]?.take(.toServer, into: buffer)
                    }
                    if heard.polls[2 * index + 3].revents != 0 {
                        state.connections[id]?.take(.toClient, into: buffer)
                    }
                }
            }
        }
        state.withLock { state in
            for connection in state.connections.values { connection.close(withReset: true) }
            state.connections = [:]
        }
    }

    /// Passes on what may pass now.
    ///
    /// - Returns: what to wait for then; nil when the proxy is stopped.
    private func turn(_ state: inout State) -> Watch? {
        guard !state.isStopped else { return nil }
        let now = ContinuousClock.now
        var next: ContinuousClock.Instant?
        var watch = Watch(
            polls: [
                pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0),
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            ],
            connections: [],
            timeoutMilliseconds: -1
        )
        let ids = Array(state.connections.keys)
        for id in ids {
            for direction in FaultProxy.Direction.allCases {
                next = [next, state.pass(direction, of: id, at: now)].compactMap(\.self).min()
            }
        }
        for id in ids {
            guard let connection = state.connections[id] else { continue }
            if connection.isOver {
                connection.close(withReset: connection.isLost)
                state.connections[id] = nil
            } else {
                watch.connections.append(id)
                watch.polls += [connection.polls.client, connection.polls.server]
            }
        }
        if let next { watch.timeoutMilliseconds = Int32(clamping: Int((next - now) / .milliseconds(1)) + 1) }
        return watch
    }

    private func accept(_ state: inout State) {
        while true {
            guard let client = LoopbackSocket.accepted(from: listener) else { return }
            guard !state.isCut, let server = LoopbackSocket.connecting(to: target) else {
                LoopbackSocket.close(client, withReset: true)
                continue
            }
            state.last += 1
            state.connections[state.last] = FaultProxyConnection(client: client, server: server)
        }
    }
}
