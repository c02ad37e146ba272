import CEpoll
import Glibc

/// A listening socket of one loop, and the descriptor held in reserve for the day there are none left.
struct Listener: ~Copyable {
    let descriptor: Int32
    /// /dev/null, given up for a moment to accept and close a connection that cannot be served.
    private var reserve: Int32
    /// What a connection is told for which there is no descriptor.
    private let refusal: [UInt8]

    /// What `accept` brought.
    enum Accepted: Equatable {
        case connection(Int32)
        case none
        /// One that was gone before it could be taken.
        case lost
        /// No descriptor is left. One connection was closed instead of kept, unless there was not even a
        /// reserve: then `isStuck`, and asking again at once would spin.
        case exhausted(isStuck: Bool)
    }

    /// Binds and listens, sharing the port with the other loops.
    ///
    /// - Parameters:
    ///   - host: a numeric address.
    ///   - port: 0 lets the kernel choose.
    ///   - backlog: the kernel's queue.
    ///   - unsentBytesMax: as `SocketLimits.kernelUnsentBytesMax`.
    ///   - speaksHTTP: whether a client understands a refusal before it has been heard: not behind TLS.
    /// - Throws: when the address cannot be had.
    init(
        host: String,
        port: Int,
        backlog: Int,
        unsentBytesMax: Int = SocketLimits().kernelUnsentBytesMax,
        speaksHTTP: Bool = true
    ) throws(SocketEngineError) {
        guard let address = SocketAddress(host: host, port: port) else {
            throw .configuration("not a numeric address and port: \(host) \(port)")
        }
        let attempt = "listen on \(host):\(port)"
        let socket = Glibc.socket(address.family, Int32(SOCK_STREAM.rawValue) | Self.flags, 0)
        guard socket >= 0 else { throw .listen(attempt, errno: errno) }
        // Accepted sockets inherit those of TCP from the listener: a system call less for each.
        let options: [(Int32, Int32, Int32)] = [
            (SOL_SOCKET, SO_REUSEADDR, 1), (SOL_SOCKET, SO_REUSEPORT, 1),
            (Int32(IPPROTO_TCP), TCP_NODELAY, 1),
            (Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, Int32(clamping: unsentBytesMax)),
        ]
        let size = socklen_t(MemoryLayout<Int32>.size)
        for (level, option, value) in options {
            var value = value
            guard setsockopt(socket, level, option, &value, size) == 0 else {
                throw Self.failed(attempt, socket)
            }
        }
        guard address.withPointer({ bind(socket, $0, $1) }) == 0,
            Glibc.listen(socket, Int32(clamping: backlog)) == 0
        else { throw Self.failed(attempt, socket) }
        descriptor = socket
        reserve = Self.openReserve()
        refusal = speaksHTTP ? RequestRefusal.full.answer(retryAfterSeconds: 5).encoded() : []
    }

    deinit {
        Glibc.close(descriptor)
        if reserve >= 0 { Glibc.close(reserve) }
    }

    /// The port it listens on.
    var port: Int { SocketAddress.local(descriptor)?.peer.port ?? 0 }

    /// Takes one connection from the queue.
    ///
    /// - Parameter take: from the listener's descriptor to a connection's, or -1 with errno: accept4(2), but
    ///   for a test that runs out of descriptors.
    /// - Returns: the connection, or why there is none.
    mutating func accept(_ take: (Int32) -> Int32 = Self.take) -> Accepted {
        let connection = take(descriptor)
        if connection >= 0 { return .connection(connection) }
        return switch errno {
        case EAGAIN: .none
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: .exhausted(isStuck: !turnAway(take))
        // The client gave up while it waited, or the network failed for it alone (accept(2)).
        default: .lost
        }
    }

    /// - Returns: whether a connection was taken from the queue.
    private mutating func turnAway(_ take: (Int32) -> Int32) -> Bool {
        guard reserve >= 0 else {
            reserve = Self.openReserve()
            return false
        }
        Glibc.close(reserve)
        let connection = take(descriptor)
        if connection >= 0 {
            if !refusal.isEmpty { _ = Glibc.send(connection, refusal, refusal.count, Int32(MSG_NOSIGNAL)) }
            Glibc.close(connection)
        }
        reserve = Self.openReserve()
        return connection >= 0
    }

    static func take(_ listener: Int32) -> Int32 { cepoll_accept(listener, flags) }

    /// Of the listener and of what it accepts.
    private static let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)

    private static func openReserve() -> Int32 { open("/dev/null", O_RDONLY | O_CLOEXEC) }

    private static func failed(_ attempt: String, _ socket: Int32) -> SocketEngineError {
        let error = SocketEngineError.listen(attempt, errno: errno)
        Glibc.close(socket)
        return error
    }
}
