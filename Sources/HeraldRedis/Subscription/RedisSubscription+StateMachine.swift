// What a subscription decides, apart from I/O, clock and chance.
//
//   down ──connected──▶ greeting ──greeted──▶ subscribing ──each channel confirmed──▶ live
//    ▲                     │                       │                                    │
//    └──────── lost ───────┴───────── lost ────────┴──────────────── lost ──────────────┘
//   any ──stop──▶ stopped
//
// greeting and subscribing are one write (AUTH, SELECT, CLIENT SETNAME, SUBSCRIBE) and share one deadline. Only in
// live is anything promised to the receiver. A live connection that was quiet for `keepAlive` is sent a PING, and
// given up when nothing at all has come `silenceMax` later. A PONG shows that the connection lives, not that
// messages come: a subscriber on a cut-off replica gets PONGs for ever. The bus's probe through the whole path is for
// that (RedisBusProbe+StateMachine.swift).

struct RedisSubscriptionStateMachine: ~Copyable {
    private var state: State
    private let limits: RedisLinkLimits
    private let channels: Int

    private enum State: ~Copyable {
        case down
        case greeting(missing: Int, deadline: Moment)
        case subscribing(missing: Int, deadline: Moment)
        case live(Live)
        case stopped
    }

    private struct Live {
        var heardAt: Moment
        var pingedAt: Moment?
    }

    init(limits: RedisLinkLimits, channels: Int) {
        state = .down
        self.limits = limits
        self.channels = channels
    }

    /// Takes the state out to be put back by each branch. `switch consume state` cannot stand here: Swift 6.3
    /// puts a consumed part of a struct back only together with the whole.
    private mutating func takeState() -> State {
        var taken = State.stopped
        swap(&taken, &state)
        return taken
    }

    /// - Returns: whether the connection is wanted; if so, greeting and SUBSCRIBE are to be written.
    mutating func connected(greetings: Int, now: Moment) -> Bool {
        switch takeState() {
        case .down:
            state = .greeting(missing: greetings, deadline: now + limits.connectTimeout)
            return true
        case .greeting: preconditionFailure("a subscription has one connection at a time")
        case .subscribing: preconditionFailure("a subscription has one connection at a time")
        case .live: preconditionFailure("a subscription has one connection at a time")
        case .stopped:
            state = .stopped
            return false
        }
    }

    /// What a reply means to a subscriber.
    enum Arrival: Equatable {
        case confirmed
        case message(channel: [UInt8], bytes: [UInt8])
        case pong
        case error(RedisReplyError)
        case other
    }

    enum Received: Equatable {
        /// A reply to the greeting, to be judged by it.
        case greeting
        /// The last channel is confirmed.
        case subscribed
        case message(channel: [UInt8], bytes: [UInt8])
        case nothing
        /// The connection is to be given up: then call `lost`.
        case refused(RedisReplyError)
        case violated
    }

    mutating func received(_ arrival: Arrival, now: Moment) -> Received {
        switch takeState() {
        case .greeting(let missing, let deadline):
            if missing > 1 {
                state = .greeting(missing: missing - 1, deadline: deadline)
            } else {
                state = .subscribing(missing: channels, deadline: deadline)
            }
            return .greeting
        case .subscribing(let missing, let deadline):
            return subscribing(arrival, missing: missing, deadline: deadline, now: now)
        case .live(var live):
            live.heardAt = now
            live.pingedAt = nil
            state = .live(live)
            switch arrival {
            case .message(let channel, let bytes): return .message(channel: channel, bytes: bytes)
            case .pong: return .nothing
            case .error(let error): return .refused(error)
            case .confirmed, .other: return .violated
            }
        case .down:
            state = .down
            return .violated
        case .stopped:
            state = .stopped
            return .nothing
        }
    }

    private mutating func subscribing(
        _ arrival: Arrival,
        missing: Int,
        deadline: Moment,
        now: Moment
    ) -> Received {
        switch arrival {
        case .confirmed where missing > 1:
            state = .subscribing(missing: missing - 1, deadline: deadline)
            return .nothing
        case .confirmed:
            state = .live(Live(heardAt: now))
            return .subscribed
        case .message(let channel, let bytes):
            // The first channels already deliver while the last is not confirmed.
            state = .subscribing(missing: missing, deadline: deadline)
            return .message(channel: channel, bytes: bytes)
        case .error(let error):
            state = .subscribing(missing: missing, deadline: deadline)
            return .refused(error)
        case .pong, .other:
            state = .subscribing(missing: missing, deadline: deadline)
            return .violated
        }
    }

    /// Something arrived, be it a whole message or a part of a long one.
    mutating func heard(now: Moment) {
        switch takeState() {
        case .live: state = .live(Live(heardAt: now))
        case .down: state = .down
        case .greeting(let missing, let deadline): state = .greeting(missing: missing, deadline: deadline)
        case .subscribing(let missing, let deadline):
            state = .subscribing(missing: missing, deadline: deadline)
        case .stopped: state = .stopped
        }
    }

    /// The connection ended, or is given up by who calls.
    ///
    /// - Returns: whether the receiver had been promised messages, and is to be told.
    mutating func lost() -> Bool {
        switch takeState() {
        case .live:
            state = .down
            return true
        case .down:
            state = .down
            return false
        case .greeting:
            state = .down
            return false
        case .subscribing:
            state = .down
            return false
        case .stopped:
            state = .stopped
            return false
        }
    }

    enum Passed: Equatable {
        case nothing
        case ping
        /// The connection is to be given up: then call `lost`.
        case silent
    }

    mutating func timePassed(now: Moment) -> Passed {
        switch takeState() {
        case .down:
            state = .down
            return .nothing
        case .greeting(let missing, let deadline):
            state = .greeting(missing: missing, deadline: deadline)
            return deadline <= now ? .silent : .nothing
        case .subscribing(let missing, let deadline):
            state = .subscribing(missing: missing, deadline: deadline)
            return deadline <= now ? .silent : .nothing
        case .live(var live):
            if let pingedAt = live.pingedAt {
                state = .live(live)
                return pingedAt + limits.silenceMax <= now ? .silent : .nothing
            }
            let isQuiet = live.heardAt + limits.keepAlive <= now
            if isQuiet { live.pingedAt = now }
            state = .live(live)
            return isQuiet ? .ping : .nothing
        case .stopped:
            state = .stopped
            return .nothing
        }
    }

    /// When `timePassed` has something to say; nil while nothing can run out.
    var alarm: Moment? {
        switch state {
        case .down: nil
        case .stopped: nil
        case .greeting(_, let deadline): deadline
        case .subscribing(_, let deadline): deadline
        case .live(let live): live.pingedAt.map { $0 + limits.silenceMax } ?? live.heardAt + limits.keepAlive
        }
    }

    mutating func stop() {
        state = .stopped
    }
}

extension RedisSubscriptionStateMachine.Arrival {
    /// Reads `["message", channel, bytes]` and its like.
    init(_ reply: RedisValue) {
        switch reply {
        case .error(let error):
            self = .error(error)
        case .array(let elements):
            switch (elements.first, elements.count) {
            case (.string(let kind), 3) where kind.elementsEqual("message".utf8):
                guard case .string(let channel) = elements[1], case .string(let bytes) = elements[2] else {
                    self = .other
                    return
                }
                self = .message(channel: channel, bytes: bytes)
            case (.string(let kind), 3) where kind.elementsEqual("subscribe".utf8): self = .confirmed
            case (.string(let kind), 2) where kind.elementsEqual("pong".utf8): self = .pong
            default: self = .other
            }
        case .string, .status, .integer, .null:
            self = .other
        }
    }
}
