import CEpoll
import Glibc

/// An address of the load's other side.
struct LoadAddress: Hashable, Sendable {
    /// IPv4, in digits.
    var host: String
    var port: Int
    var path: String

    /// Reads `HOST:PORT/PATH`; nil for anything else.
    init?(_ text: String) {
        guard let slash = text.firstIndex(of: "/"), let colon = text[..<slash].lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)..<slash])
        else { return nil }
        self.init(host: String(text[..<colon]), port: Int(port), path: String(text[slash...]))
    }

    init(host: String, port: Int, path: String) {
        self.host = host == "localhost" ? "127.0.0.1" : host
        self.port = port
        self.path = path
    }

    var text: String { "\(host):\(port)\(path)" }
    var isLoopback: Bool { host.hasPrefix("127.") }
    /// Whether the load, which speaks IPv4 and resolves no names, can reach it.
    var isUsable: Bool { Self.number(host) != nil }

    static func number(_ host: String) -> in_addr? {
        var address = in_addr()
        return inet_pton(AF_INET, host, &address) == 1 ? address : nil
    }
}

/// Non-blocking sockets of the load.
enum LoadSocket {
    /// Begins to connect.
    ///
    /// - Parameters:
    ///   - address: where to.
    ///   - source: the number of a loopback address to connect from, so that ports suffice; nil: the kernel's choice.
    /// - Returns: the descriptor, or the negated `errno`.
    static func connect(_ address: LoadAddress, source: Int?) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { return -errno }
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        if let source, address.isLoopback {
            // The port is then chosen when the whole address is known, and may be used again for another target.
            set(descriptor, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1)
            target.sin_addr.s_addr = (0x7F00_0002 + UInt32(source)).bigEndian
            guard withAddress(&target, { bind(descriptor, $0, $1) }) == 0 else { return failed(descriptor) }
        }
        target.sin_port = in_port_t(address.port).bigEndian
        target.sin_addr = LoadAddress.number(address.host) ?? in_addr()
        guard withAddress(&target, { Glibc.connect(descriptor, $0, $1) }) == 0 || errno == EINPROGRESS else {
            return failed(descriptor)
        }
        return descriptor
    }

    /// Closes it with a reset: thousands that waited out their time would hold their ports for a minute.
    static func drop(_ descriptor: Int32) {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    static func send(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int {
        Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
    }

    static func watch(_ descriptor: Int32, _ events: UInt32, id: UInt64, on epoll: Int32, isNew: Bool) {
        var event = epoll_event(events: events, data: epoll_data_t(u64: id))
        _ = epoll_ctl(epoll, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event)
    }

    /// Lets this process have as many descriptors as it may.
    ///
    /// - Returns: how many that are.
    @discardableResult static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func failed(_ descriptor: Int32) -> Int32 {
        let reason = errno
        close(descriptor)
        return -reason
    }

    private static func withAddress(
        _ address: inout sockaddr_in,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
