import Logging
internal import NIOCore
import Synchronization

/// The part of a subscription that lives on its event loop: performs what the state machine decides.
// Safe because `board`, `wasReady` and the constants may be used from anywhere and all else only on `loop`,
// which every entry from outside reaches through `loop.execute`.
final class RedisSubscriptionCore: RedisConnectionCore, @unchecked Sendable {
    typealias Handler = RedisConnectionHandler<RedisSubscriptionCore>

    let board = RedisStatusBoard()
    let options: RedisLinkOptions
    private let address: RedisAddress
    private let loop: any EventLoop
    private let channels: [(name: String, bytes: [UInt8])]
    private let receive: @Sendable (RedisSubscriptionEvent) -> Void
    private let heard: @Sendable () -> Void
    private let wasReady = Mutex(false)

    private var machine: RedisSubscriptionStateMachine
    private var connection: Handler?
    private var greeting: RedisGreeting?
    private var timer: (task: Scheduled<Void>, at: Moment)?
    private var lastError: RedisError?
    /// Messages of this read that were not handed over yet, all of one channel.
    private var batch: [[UInt8]] = []
    private var batchChannel = 0

    init(
        address: RedisAddress,
        channels: [String],
        options: RedisLinkOptions,
        loop: any EventLoop,
        receive: @escaping @Sendable (RedisSubscriptionEvent) -> Void,
        heard: @escaping @Sendable () -> Void
    ) {
        self.address = address
        self.options = options
        self.loop = loop
        self.channels = channels.map { ($0, Array($0.utf8)) }
        self.receive = receive
        self.heard = heard
        machine = RedisSubscriptionStateMachine(limits: options.limits, channels: channels.count)
    }

    // MARK: From anywhere

    var hopeless: RedisError? { board.hopeless }

    func attemptFailed(_ error: RedisError) {
        loop.execute { self.note(error) }
    }

    func takeWasReady() -> Bool {
        wasReady.withLock { wasReady in
            defer { wasReady = false }
            return wasReady
        }
    }

    func stop() {
        loop.execute {
            self.machine.stop()
            self.batch = []
            self.board.change { $0.phase = .stopped }
            self.timer?.task.cancel()
            self.timer = nil
            self.connection?.close()
            self.connection = nil
        }
    }

    func rebuild(_ reason: String) {
        loop.execute {
            guard self.connection != nil else { return }
            self.lose(RedisError(.timedOut, reason))
        }
    }

    /// Returns when nothing of the past can reach the receiver any more.
    func stopped() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            stop()
            loop.execute { continuation.resume() }
        }
    }

    // MARK: The connection, on the loop

    func connected(_ handler: Handler) {
        let greeting = RedisGreeting(address: address, name: options.name, scripts: [])
        guard machine.connected(greetings: greeting.commands.count, now: .now) else {
            handler.close()
            return
        }
        connection = handler
        self.greeting = greeting
        let subscribe = RedisCommand("SUBSCRIBE", arguments: channels.map { .text($0.name) })
        handler.write(RedisBatch(greeting.commands + [subscribe], timeout: nil).bytes)
        setTimer()
    }

    func heard(_ handler: Handler, now: Moment) {
        if handler === connection { machine.heard(now: now) }
    }

    func received(_ reply: RedisValue, from handler: Handler, now: Moment) -> Bool {
        guard handler === connection else { return false }
        switch machine.received(RedisSubscriptionStateMachine.Arrival(reply), now: now) {
        case .message(let channel, let bytes):
            add(bytes, channel: channel)
        case .nothing:
            break
        case .greeting:
            do throws(RedisError) { try greeting?.judge(reply) } catch {
                lose(error)
                return false
            }
        case .subscribed:
            becameLive()
        case .refused(let error):
            lose(RedisError(.refused, "Redis refuses to let this user subscribe", cause: error))
            return false
        case .violated:
            lose(RedisError(.protocolViolated, "Redis sent a subscriber what is no message"))
            return false
        }
        return true
    }

    func readEnded(_ handler: Handler) {
        handOver()
        if handler === connection { heard() }
        // Whoever heard something pings sooner than he would have given up.
        setTimer()
    }

    func failed(_ handler: Handler, _ error: RedisError) {
        if handler === connection { lose(error) }
    }

    func checkIdle(_ handler: Handler) {}

    private func becameLive() {
        greeting = nil
        lastError = nil
        wasReady.withLock { $0 = true }
        receive(.subscribed)
        board.change { status in
            status.phase = .ready
            status.connections += 1
            status.connectedSince = .now
        }
        options.logger.info(
            "subscribed at redis",
            metadata: ["address": "\(address)", "link": "\(options.name)"]
        )
        setTimer()
    }

    private func lose(_ error: RedisError) {
        let connection = connection
        self.connection = nil
        greeting = nil
        handOver()
        let wasLive = machine.lost()
        if connection != nil { note(error) }
        connection?.close()
        if wasLive { receive(.lost(error.description)) }
        board.change { status in
            if status.phase == .ready { status.phase = .down }
            status.connectedSince = nil
        }
    }

    private func note(_ error: RedisError) {
        let isNews = lastError?.message != error.message
        lastError = error
        board.failed(error)
        guard isNews, board.status.phase != .stopped else { return }
        options.logger.warning(
            "no subscription at redis",
            metadata: ["address": "\(address)", "link": "\(options.name)", "reason": "\(error)"]
        )
    }

    // MARK: Messages, on the loop

    private func add(_ bytes: [UInt8], channel: [UInt8]) {
        if channel != channels[batchChannel].bytes {
            handOver()
            guard let index = channels.firstIndex(where: { $0.bytes == channel }) else { return }
            batchChannel = index
        }
        batch.append(bytes)
    }

    private func handOver() {
        guard !batch.isEmpty else { return }
        let messages = batch
        batch = []
        receive(.messages(messages, channel: channels[batchChannel].name))
    }

    // MARK: Time, on the loop

    /// One timer for all: when it fires too early, because something was heard since, it is set again.
    private func setTimer() {
        guard let alarm = machine.alarm else { return }
        if let timer, timer.at <= alarm { return }
        timer?.task.cancel()
        timer = (loop.scheduleTask(deadline: NIODeadline(alarm)) { self.timePassed() }, alarm)
    }

    private func timePassed() {
        timer = nil
        switch machine.timePassed(now: .now) {
        case .nothing: break
        case .ping: connection?.write(RedisBatch([RedisCommand("PING")], timeout: nil).bytes)
        case .silent: lose(RedisError(.timedOut, "the subscription is silent"))
        }
        setTimer()
    }
}
