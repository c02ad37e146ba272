import HeraldCore
import Logging
internal import NIOCore

/// The part of a listener that lives on its subscription's event loop: performs what the hop and the probe decide.
///
/// What has to wait for Redis it hands out as jobs; their results come back through `perform`.
// Safe because the constants may be used from anywhere and all else only on `loop`: the subscription calls there,
// and every other entry goes through `loop.execute`.
final class RedisBusListenerCore: @unchecked Sendable {
    enum Job: Sendable {
        case probe(Int)
        case read(after: HopID, round: Int)
        case rebuild(String)
    }

    enum Outcome: Sendable {
        case probeTaken(Int)
        case probeFailed(Int, RedisError)
        case read([HopMessage], isLast: Bool, round: Int)
        case readFailed(round: Int, RedisError)
    }

    private let loop: any EventLoop
    private let limits: RedisBusLimits
    private let logger: Logger
    private let receive: @Sendable (BusEvent) -> Void
    private let order: @Sendable (Job) -> Void

    /// Replies to a sender are kept nowhere, so that there is nothing to repair.
    private let keepsHop: Bool
    private var hop: RedisBusHopStateMachine
    private var probe: RedisBusProbeStateMachine
    private var timer: (task: Scheduled<Void>, at: Moment)?
    private var lastError: RedisError?
    private var hasComplained = false
    private var isStopped = false
    /// Whether a sender's receiver was told `subscribed`; a node's hop knows for itself.
    private var isSubscribed = false

    init(
        to address: BusAddress,
        limits: RedisBusLimits,
        loop: any EventLoop,
        logger: Logger,
        receive: @escaping @Sendable (BusEvent) -> Void,
        order: @escaping @Sendable (Job) -> Void
    ) {
        self.loop = loop
        self.limits = limits
        self.logger = logger
        self.receive = receive
        self.order = order
        probe = RedisBusProbeStateMachine(limits: limits)
        hop = RedisBusHopStateMachine(limits: limits)
        keepsHop = if case .node = address { true } else { false }
    }

    /// Nothing is received after this has returned.
    func stop() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            loop.execute {
                self.isStopped = true
                self.hop.stop()
                self.timer?.task.cancel()
                self.timer = nil
                continuation.resume()
            }
        }
    }

    // MARK: The subscription, on the loop

    func received(_ event: RedisSubscriptionEvent) {
        guard !isStopped else { return }
        switch event {
        case .subscribed:
            if keepsHop { change { $0.subscribed() } } else { order(.probe(probe.needed())) }
        case .messages(let messages, _):
            arrived(messages)
        case .lost(let reason):
            probe.lost()
            change { $0.lost(reason) }
            if isSubscribed { receive(.lost(reason)) }
            isSubscribed = false
        }
        setTimer()
    }

    /// A read ended, whatever it brought.
    func heard() {
        probe.heard(now: .now)
        setTimer()
    }

    private func arrived(_ packets: [[UInt8]]) {
        var messages: [HopMessage] = []
        var replies: [[UInt8]] = []
        for packet in packets {
            switch BusPacket(packet) {
            case .message(let message):
                messages.append(message)
            case .reply(let bytes):
                replies.append(bytes)
            case .probe(let end):
                change { [messages] in $0.arrived(messages) }
                messages = []
                probe.arrived(now: .now)
                marked(end)
            case nil:
                complain()
            }
        }
        if !messages.isEmpty { change { $0.arrived(messages) } }
        if !replies.isEmpty { receive(.messages(replies)) }
    }

    private func marked(_ end: HopPosition) {
        lastError = nil
        change { $0.marked(end) }
        guard !keepsHop, !isSubscribed else { return }
        isSubscribed = true
        receive(.subscribed)
    }

    // MARK: Jobs, on the loop

    /// From anywhere.
    func perform(_ outcome: Outcome) {
        loop.execute { self.performed(outcome) }
    }

    private func performed(_ outcome: Outcome) {
        guard !isStopped else { return }
        switch outcome {
        case .probeTaken(let attempt):
            probe.taken(attempt, now: .now)
        case .probeFailed(let attempt, let error):
            note(error, "a listener cannot probe its subscription")
            probe.failed(attempt, now: .now)
        case .read(let page, let isLast, let round):
            change { $0.read(page, isLast: isLast, round: round) }
        case .readFailed(let round, let error):
            note(error, "a listener cannot read what it missed")
            change { hop in
                hop.readFailed(round: round, now: .now)
                return HopStep()
            }
        }
        setTimer()
    }

    /// Lets the hop take a step and carries it out; nothing where there is no hop.
    private func change(_ step: (inout RedisBusHopStateMachine) -> HopStep) {
        guard keepsHop else { return }
        let taken = step(&hop)
        for event in taken.events {
            if case .gap(let reason) = event {
                logger.warning("messages may be lost for good", metadata: ["reason": "\(reason)"])
            }
            receive(event)
        }
        switch taken.order {
        case .nothing: break
        case .mark: order(.probe(probe.needed()))
        case .read(let after, let round): order(.read(after: after, round: round))
        }
    }

    // MARK: Time, on the loop

    /// One timer for all: when it fires too early, because something was heard since, it is set again.
    private func setTimer() {
        var alarm = probe.alarm
        if let other = hop.alarm { alarm = min(alarm ?? other, other) }
        guard let alarm, !isStopped else { return }
        if let timer, timer.at <= alarm { return }
        timer?.task.cancel()
        timer = (loop.scheduleTask(deadline: NIODeadline(alarm)) { self.timePassed() }, alarm)
    }

    private func timePassed() {
        timer = nil
        guard !isStopped else { return }
        let now = Moment.now
        switch probe.timePassed(now: now) {
        case .nothing: break
        case .probe(let attempt): order(.probe(attempt))
        case .starved: order(.rebuild("the subscription is starved: Redis took a probe that did not arrive"))
        }
        change { $0.timePassed(now: now) }
        setTimer()
    }

    // MARK: Logs

    private func note(_ error: RedisError, _ what: Logger.Message) {
        let isNews = lastError?.message != error.message
        lastError = error
        guard isNews, error.code != .cancelled, error.code != .stopped else { return }
        logger.warning(what, metadata: ["reason": "\(error)"])
    }

    private func complain() {
        guard !hasComplained else { return }
        hasComplained = true
        logger.warning("a foreign message on the channel of a listener was skipped, and so are others")
    }
}
