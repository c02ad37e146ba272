import Glibc

/// One client of a `FaultProxy`, its connection to the server, and what is between.
struct FaultProxyConnection {
    let client: Int32
    let server: Int32
    var pipes: [FaultProxy.Direction: FaultProxyPipe] = [
        .toServer: FaultProxyPipe(), .toClient: FaultProxyPipe(),
    ]
    /// It is to be reset as soon as the loop comes by.
    var isLost = false
    /// Directions in which nothing comes through any more.
    var swallowed: Set<FaultProxy.Direction> = []
    /// The first that the client sent.
    private var opening: [UInt8] = []
    /// Directions whose end was passed on.
    private var done: Set<FaultProxy.Direction> = []
    /// Directions whose receiver is gone: what comes is read and dropped, so that its sender can finish.
    private var deaf: Set<FaultProxy.Direction> = []
    /// Directions whose receiver takes no more just now.
    private var blocked: Set<FaultProxy.Direction> = []

    /// What may wait in one direction before its sender is not read any more.
    private static let bytesMax = 64 << 20
    /// What is kept of the first that the client sent.
    private static let openingBytesMax = 4096

    init(client: Int32, server: Int32) {
        self.client = client
        self.server = server
    }

    var isOver: Bool { isLost || done.count == FaultProxy.Direction.allCases.count }

    /// Whether a text was among the first that the client sent.
    func client(said text: String) -> Bool { opening.firstRange(of: Array(text.utf8)) != nil }

    /// What to wait for on either side. A side with nothing to wait for is left out, as its end would wake the
    /// loop for ever.
    var polls: (client: pollfd, server: pollfd) {
        (poll(client, reads: .toServer, writes: .toClient), poll(server, reads: .toClient, writes: .toServer))
    }

    private func poll(
        _ descriptor: Int32,
        reads: FaultProxy.Direction,
        writes: FaultProxy.Direction
    ) -> pollfd {
        var events: Int32 = 0
        if let pipe = pipes[reads], !pipe.hasEnded, pipe.bytesWaiting < Self.bytesMax { events |= POLLIN }
        if blocked.contains(writes) { events |= POLLOUT }
        return pollfd(fd: events == 0 ? ~descriptor : descriptor, events: Int16(events), revents: 0)
    }

    /// Reads what the sender of a direction has to say; called when `poll` saw something of it.
    mutating func take(_ direction: FaultProxy.Direction, into buffer: UnsafeMutableRawBufferPointer) {
        let (sender, opposite) =
            direction == .toServer
            ? (client, FaultProxy.Direction.toClient) : (server, FaultProxy.Direction.toServer)
        blocked.remove(opposite)
        guard let pipe = pipes[direction], !pipe.hasEnded, pipe.bytesWaiting < Self.bytesMax else { return }
        let count = recv(sender, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        if count > 0 {
            if direction == .toServer, opening.count < Self.openingBytesMax { opening += buffer[..<count] }
            pipes[direction]?.arrived(ArraySlice(buffer[..<count]), at: .now)
        } else if count == 0 || (errno != EAGAIN && errno != ENOTCONN && errno != EINTR) {
            pipes[direction]?.senderEnded(at: .now)
        }
    }

    /// Gives the receiver of a direction what may pass now.
    ///
    /// - Returns: how many bytes passed; and when the next of it may pass, nil when that hangs on something else.
    mutating func pass(
        _ direction: FaultProxy.Direction,
        _ flow: FaultProxyFlow,
        at now: ContinuousClock.Instant
    ) -> (bytes: Int, next: ContinuousClock.Instant?) {
        let receiver = direction == .toServer ? server : client
        var flow = flow
        var passed = 0
        while !isLost, !done.contains(direction), !blocked.contains(direction) {
            switch pipes[direction]?.next(flow, at: now) ?? .nothing(until: nil) {
            case .nothing(let until): return (passed, until)
            case .end:
                if !swallowed.contains(direction) { _ = shutdown(receiver, Int32(SHUT_WR)) }
                done.insert(direction)
            case .bytes(let bytes) where deaf.contains(direction) || swallowed.contains(direction):
                pipes[direction]?.passed(bytes.count)
            case .bytes(let bytes):
                let count = bytes.withUnsafeBytes {
                    send(receiver, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
                }
                if count > 0 {
                    pipes[direction]?.passed(count)
                    flow.bytesLeft? -= count
                    passed += count
                } else if errno == EAGAIN || errno == EINTR {
                    blocked.insert(direction)
                } else {
                    deaf.insert(direction)
                }
            }
        }
        return (passed, nil)
    }

    func close(withReset: Bool) {
        for descriptor in [client, server] { LoopbackSocket.close(descriptor, withReset: withReset) }
    }
}
