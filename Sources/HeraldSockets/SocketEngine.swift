import Glibc
import Synchronization

/// Accepts WebSocket connections and serves each on one of a few loops, for life.
///
/// Loops share nothing but the port (the kernel spreads connections over their listeners, SO_REUSEPORT), the
/// budget of queued bytes, and the counters they publish. Everything a loop's handler sees is its own.
///
/// An engine starts once and is stopped with `stop`; one that is let go without is told to stop and left
/// alone.
public final class SocketEngine<Handler: SocketHandler & ~Copyable>: Sendable {
    /// One port per loop, in the order of the loops. They work from the start on.
    public let ports: [LoopPort<Handler.Command>]

    private let configuration: SocketEngineConfiguration
    private let makeHandler: @Sendable (LoopPort<Handler.Command>) -> Handler
    private let shared: [LoopShared]
    private let budget: NodeBudget
    private let group = LoopGroup()
    private let state = Mutex(State())

    private struct State {
        var isStarted = false
        var port = 0
        var certificate: TLSCertificate?
        var threads: [LoopThread] = []
    }

    /// An engine that does nothing yet.
    ///
    /// - Parameters:
    ///   - configuration: checked by `start`.
    ///   - makeHandler: called once on each loop's own thread, before anything is accepted there.
    public init(
        _ configuration: SocketEngineConfiguration,
        makeHandler: @escaping @Sendable (LoopPort<Handler.Command>) -> Handler
    ) {
        self.configuration = configuration
        self.makeHandler = makeHandler
        let backlogMax = configuration.limits.commandBacklogMax
        ports = (0..<max(configuration.loops, 1)).map {
            LoopPort(loop: $0, mailbox: LoopMailbox(backlogMax: backlogMax))
        }
        shared = ports.map { _ in LoopShared() }
        budget = NodeBudget(bytesMax: configuration.limits.nodeQueueBytesMax)
    }

    deinit {
        for port in ports { port.mailbox.order { $0.stop = (1001, "") } }
    }

    /// Binds, listens, and starts a thread for each loop. When it returns, clients can connect.
    ///
    /// - Throws: `SocketEngineError` when the configuration makes no sense, the address cannot be had, or
    ///   the kernel is out of something. Nothing is left running then.
    public func start() throws(SocketEngineError) {
        try check()
        let proxies = try TrustedProxies(configuration.proxies)
        let isFirst = state.withLock { state in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        guard isFirst else { throw .started }
        if let tls = configuration.tls {
            let certificate = try TLSCertificate(tls)
            state.withLock { $0.certificate = certificate }
        }
        let births = try prepare()
        do throws(SocketEngineError) {
            for birth in births { try startThread(birth, proxies) }
        } catch {
            for port in ports { port.mailbox.order { $0.stop = (1001, "") } }
            throw error
        }
    }

    /// The port it listens on; 0 before `start`.
    public var port: Int { state.withLock { $0.port } }

    /// Reads the certificate and its key again, for connections accepted from now on; those that are open stay as
    /// they are. Without TLS it does nothing.
    ///
    /// - Throws: `SocketEngineError` when the files are wrong: the certificate in use then stays in use.
    public func reloadCertificate() throws(SocketEngineError) {
        try state.withLock { $0.certificate }?.reload()
    }

    /// Takes no more connections; those that are open stay.
    public func stopAccepting() {
        for port in ports { port.mailbox.order { $0.stopAccepting = true } }
    }

    /// Closes every socket with a code, waits for the close handshakes (`SocketLimits.closeTimeout` at most),
    /// and ends the threads. Each handler hears `socketClosed` for each socket. May be called more than once.
    public func stop(code: UInt16 = 1001, reason: String = "") async {
        precondition(ClosePayload.isAllowedOnWire(code), "a close code that may be sent")
        for port in ports { port.mailbox.order { $0.stop = (code, reason) } }
        await group.allFinished()
        let threads = state.withLock { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { thread.join() }
    }

    /// All loops' counters together, each as of the end of its last turn.
    public var counters: SocketCounters {
        var total = SocketCounters()
        for loop in shared { total += loop.counters }
        total.batchesRefused = ports.reduce(0) { $0 + $1.mailbox.refused }
        return total
    }
}

extension SocketEngine where Handler: ~Copyable {
    /// What a loop's thread takes over: the descriptors, made before the thread so that `start` can report it
    /// when they cannot be had.
    private final class Birth: Sendable {
        let port: LoopPort<Handler.Command>
        private let epoll: Mutex<Epoll?>
        private let listener: Mutex<Listener?>

        init(port: LoopPort<Handler.Command>, listener: consuming Listener) throws(SocketEngineError) {
            self.port = port
            epoll = Mutex(try Epoll())
            self.listener = Mutex(consume listener)
        }

        func takeEpoll() -> Epoll? { epoll.withLock { $0.take() } }
        func takeListener() -> Listener? { listener.withLock { $0.take() } }
    }

    private func check() throws(SocketEngineError) {
        let limits = configuration.limits
        guard (1...SocketID.loopsMax).contains(configuration.loops) else {
            throw .configuration("1 to \(SocketID.loopsMax) loops, not \(configuration.loops)")
        }
        guard limits.socketsMaxPerLoop > 0, limits.refusalsMaxPerLoop >= 0,
            limits.socketsMaxPerLoop + limits.refusalsMaxPerLoop < SocketID.slotsMax
        else {
            throw .configuration("socketsMaxPerLoop and refusalsMaxPerLoop: 1 to \(SocketID.slotsMax - 1)")
        }
        guard (125...Int(Int32.max)).contains(limits.messageBytesMax) else {
            throw .configuration("messageBytesMax: 125 bytes to 2 GiB")
        }
        guard (1024...Int(Int32.max)).contains(limits.overheadBytesMax) else {
            throw .configuration("overheadBytesMax: 1 KiB to 2 GiB")
        }
        guard limits.readBufferBytes >= 1024, limits.acceptsPerTurnMax > 0, limits.handshakesPerTurnMax > 0
        else {
            throw .configuration(
                "readBufferBytes: at least 1,024; acceptsPerTurnMax and handshakesPerTurnMax: at least 1"
            )
        }
        guard ClosePayload.isAllowedOnWire(limits.overflowCode) else {
            throw .configuration("overflowCode \(limits.overflowCode) must not be sent")
        }
        if let fault = configuration.deflate?.fault { throw .configuration(fault) }
        for port in ports where port.mailbox.descriptor < 0 { throw .resources("eventfd", errno: EMFILE) }
    }

    private func prepare() throws(SocketEngineError) -> [Birth] {
        var births: [Birth] = []
        var number = configuration.port
        for port in ports {
            let listener = try Listener(
                host: configuration.host,
                port: number,
                backlog: configuration.backlog,
                unsentBytesMax: configuration.limits.kernelUnsentBytesMax,
                speaksHTTP: configuration.tls == nil
            )
            // With port 0 the first listener chooses and the others join it.
            number = listener.port
            births.append(try Birth(port: port, listener: listener))
        }
        state.withLock { $0.port = number }
        return births
    }

    private func startThread(_ birth: Birth, _ proxies: TrustedProxies) throws(SocketEngineError) {
        let (limits, deflate) = (configuration.limits, configuration.deflate)
        let certificate = state.withLock { $0.certificate }
        let (shared, budget, makeHandler) = (shared[birth.port.loop], budget, makeHandler)
        let thread = try LoopThread(name: "herald-loop-\(birth.port.loop)", group: group) {
            guard let epoll = birth.takeEpoll(), let listener = birth.takeListener() else { return }
            let seat = LoopSeat(
                EventLoop(
                    loop: birth.port.loop,
                    epoll: epoll,
                    listener: listener,
                    limits: limits,
                    deflate: deflate,
                    certificate: certificate,
                    proxies: proxies,
                    mailbox: birth.port.mailbox,
                    shared: shared,
                    budget: budget,
                    handler: makeHandler(birth.port)
                )
            )
            seat.run(mailbox: birth.port.mailbox)
        }
        state.withLock { $0.threads.append(thread) }
    }
}
