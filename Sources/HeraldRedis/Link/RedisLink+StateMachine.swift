// What a command link decides, apart from I/O, clock and chance.
//
//   down ──connected──▶ greeting ──last greeting answered──▶ ready
//    ▲                     │                                   │
//    └──────── lost ───────┴───────────── lost ────────────────┤
//   any ──stop──▶ stopped            ready with replies owed ──stop──▶ draining ──last reply or lost──▶ stopped
//
// down      no connection. Requests wait, in order, until the outage has lasted `outageGrace`; then they and
//           all later ones are refused.
// greeting  connected; AUTH, SELECT, CLIENT SETNAME and SCRIPT LOAD are on their way. Requests wait as in down.
// ready     requests are written. Replies come in the order of the commands: the first request in flight that
//           still misses replies gets each.
// draining  as ready, but nothing new is taken.
// stopped   nothing more happens.
//
// A command that timed out. Its caller is answered, its place in the queue stays, and the replies that belong
// there are thrown away when they come: the link cannot fall out of step, and a slow command costs nobody else
// anything. But a connection that owes replies and has brought not one byte for `silenceMax` is rebuilt, because
// a half-open connection cannot be told from a stuck Redis, and TCP alone would take a quarter of an hour.
//
// Rules: the next state and the answer stand together; every request that was taken is answered exactly once.

/// - `Request`: what the outside knows a request by.
struct RedisLinkStateMachine<Request: Equatable>: ~Copyable {
    private var state: State
    private let limits: RedisLinkLimits
    private(set) var commandsInFlight = 0
    private var bytesInFlight = 0
    /// When `timePassed` should be called next, or earlier than needed; nil while nothing can run out.
    private(set) var alarm: Moment?

    private enum State: ~Copyable {
        case down(Waiting)
        case greeting(Greeting)
        case ready(Ready)
        case draining(Ready)
        case stopped
    }

    private typealias Entry = RedisRequestEntry<Request>
    private typealias Waiting = RedisWaiting<Request>
    private typealias Ready = RedisInFlight<Request>

    private struct Greeting {
        var waiting: Waiting
        var missing: Int
        var deadline: Moment
    }

    init(limits: RedisLinkLimits, now: Moment) {
        self.limits = limits
        state = .down(Waiting(since: now))
    }

    /// Takes the state out to be put back by each branch. `switch consume state` cannot stand here: Swift 6.3
    /// puts a consumed part of a struct back only together with the whole.
    private mutating func takeState() -> State {
        var taken = State.stopped
        swap(&taken, &state)
        return taken
    }

    // MARK: Requests

    enum Requested: Equatable {
        case write
        case wait
        case refuse(RefusalReason)
    }

    enum RefusalReason: Equatable {
        case unavailable, overloaded, stopped
    }

    mutating func requested(
        _ request: Request,
        commands: Int,
        bytes: Int,
        deadline: Moment,
        now: Moment
    ) -> Requested {
        guard commandsInFlight + commands <= limits.commandsInFlightMax,
            bytesInFlight + bytes <= limits.bytesInFlightMax
        else { return .refuse(.overloaded) }
        let entry = Entry(
            request: request,
            commands: commands,
            bytes: bytes,
            deadline: deadline,
            sentAt: now,
            missing: commands
        )
        switch takeState() {
        case .down(var waiting):
            let answer = take(entry, into: &waiting, now: now)
            state = .down(waiting)
            return answer
        case .greeting(var greeting):
            let answer = take(entry, into: &greeting.waiting, now: now)
            state = .greeting(greeting)
            return answer
        case .ready(var ready):
            add(entry)
            ready.inFlight.append(entry)
            alarm(at: min(deadline, now + limits.silenceMax))
            state = .ready(ready)
            return .write
        case .draining(let ready):
            state = .draining(ready)
            return .refuse(.stopped)
        case .stopped:
            state = .stopped
            return .refuse(.stopped)
        }
    }

    /// The caller of a request went away. What has left keeps its place in the queue, and its replies are the
    /// caller's to throw away.
    ///
    /// - Returns: whether it had not left, and now never will.
    mutating func cancelled(_ request: Request) -> Bool {
        switch takeState() {
        case .down(var waiting):
            let isTakenOut = remove(request, from: &waiting)
            state = .down(waiting)
            return isTakenOut
        case .greeting(var greeting):
            let isTakenOut = remove(request, from: &greeting.waiting)
            state = .greeting(greeting)
            return isTakenOut
        case .ready(let ready):
            state = .ready(ready)
            return false
        case .draining(let ready):
            state = .draining(ready)
            return false
        case .stopped:
            state = .stopped
            return false
        }
    }

    // MARK: Connection

    /// - Returns: whether the connection is wanted; if so, the greeting is to be written.
    mutating func connected(greetings: Int, now: Moment) -> Bool {
        switch takeState() {
        case .down(let waiting):
            let deadline = now + limits.connectTimeout
            alarm(at: deadline)
            state = .greeting(Greeting(waiting: waiting, missing: greetings, deadline: deadline))
            return true
        case .greeting: preconditionFailure("a link has one connection at a time")
        case .ready: preconditionFailure("a link has one connection at a time")
        case .draining:
            state = .stopped
            return false
        case .stopped:
            state = .stopped
            return false
        }
    }

    /// Something arrived, be it a whole reply or not.
    mutating func heard(now: Moment) {
        switch takeState() {
        case .ready(var ready):
            ready.heardAt = now
            state = .ready(ready)
        case .draining(var ready):
            ready.heardAt = now
            state = .draining(ready)
        case .down(let waiting): state = .down(waiting)
        case .greeting(let greeting): state = .greeting(greeting)
        case .stopped: state = .stopped
        }
    }

    enum Replied: Equatable {
        /// The reply belongs to the greeting, of which more is to come.
        case greeting
        /// The reply ends the greeting: the link is ready, and these that waited are to be written, in order.
        case greeted([Request])
        case reply(to: Request, isLast: Bool)
        /// Nobody waits for it any more.
        case nobody
        /// Redis answered what was not asked: the stream has no meaning any more.
        case unasked
    }

    /// A whole reply arrived.
    mutating func replied(now: Moment) -> Replied {
        switch takeState() {
        case .greeting(var greeting):
            greeting.missing -= 1
            guard greeting.missing <= 0 else {
                state = .greeting(greeting)
                return .greeting
            }
            var ready = Ready(heardAt: now)
            for var entry in greeting.waiting.requests.elements {
                entry.sentAt = now
                ready.inFlight.append(entry)
                alarm(at: min(entry.deadline, now + limits.silenceMax))
            }
            state = .ready(ready)
            return .greeted(greeting.waiting.requests.elements.map(\.request))
        case .ready(var ready):
            let answer = reply(&ready)
            state = .ready(ready)
            return answer
        case .draining(var ready):
            let answer = reply(&ready)
            state = .draining(ready)
            return answer
        case .down(let waiting):
            state = .down(waiting)
            return .unasked
        case .stopped:
            state = .stopped
            return .unasked
        }
    }

    /// The connection ended, or is given up by who calls.
    ///
    /// - Returns: the requests that had left and will get no reply. Those that wait go on waiting.
    mutating func lost(now: Moment) -> [Request] {
        switch takeState() {
        case .down(let waiting):
            state = .down(waiting)
            return []
        case .greeting(let greeting):
            state = .down(greeting.waiting)
            return []
        case .ready(let ready):
            subtractAll()
            state = .down(Waiting(since: now))
            return ready.owed
        case .draining(let ready):
            subtractAll()
            state = .stopped
            return ready.owed
        case .stopped:
            state = .stopped
            return []
        }
    }

    // MARK: Time

    struct Passed: Equatable {
        /// They had left; whether they were carried out is not known.
        var timedOut: [Request] = []
        /// They never left.
        var unavailable: [Request] = []
        /// The connection is to be given up: then call `lost`.
        var isSilent = false
    }

    mutating func timePassed(now: Moment) -> Passed {
        alarm = nil
        switch takeState() {
        case .down(var waiting):
            let unavailable = expire(&waiting, now: now)
            state = .down(waiting)
            return Passed(unavailable: unavailable)
        case .greeting(var greeting):
            let unavailable = expire(&greeting.waiting, now: now)
            let isSilent = greeting.deadline <= now
            if !isSilent { alarm(at: greeting.deadline) }
            state = .greeting(greeting)
            return Passed(unavailable: unavailable, isSilent: isSilent)
        case .ready(var ready):
            let passed = expire(&ready, now: now)
            state = .ready(ready)
            return passed
        case .draining(var ready):
            let passed = expire(&ready, now: now)
            state = .draining(ready)
            return passed
        case .stopped:
            state = .stopped
            return Passed()
        }
    }

    /// Whether the connection is ready and has brought nothing for so long that a sign of life is due.
    func isIdle(now: Moment) -> Bool {
        switch state {
        case .ready(let ready): ready.inFlight.isEmpty && ready.heardAt + limits.keepAlive <= now
        case .down: false
        case .greeting: false
        case .draining: false
        case .stopped: false
        }
    }

    // MARK: The end

    /// Takes nothing more; what is in flight may end.
    ///
    /// - Returns: those that waited and are refused now.
    mutating func stop() -> [Request] {
        switch takeState() {
        case .down(let waiting):
            subtractAll()
            state = .stopped
            return waiting.requests.elements.map(\.request)
        case .greeting(let greeting):
            subtractAll()
            state = .stopped
            return greeting.waiting.requests.elements.map(\.request)
        case .ready(let ready):
            state = .draining(ready)
            return []
        case .draining(let ready):
            state = .draining(ready)
            return []
        case .stopped:
            state = .stopped
            return []
        }
    }

    /// Whether the connection has no purpose any more.
    var isDone: Bool {
        switch state {
        case .draining(let ready): ready.owed.isEmpty
        case .stopped: true
        case .down: false
        case .greeting: false
        case .ready: false
        }
    }
}

// MARK: Helpers

extension RedisLinkStateMachine {
    private mutating func alarm(at moment: Moment) {
        alarm = min(alarm ?? moment, moment)
    }

    private mutating func add(_ entry: Entry) {
        commandsInFlight += entry.commands
        bytesInFlight += entry.bytes
    }

    private mutating func subtract(_ entry: Entry) {
        commandsInFlight -= entry.commands
        bytesInFlight -= entry.bytes
    }

    private mutating func subtractAll() {
        commandsInFlight = 0
        bytesInFlight = 0
    }

    private mutating func take(_ entry: Entry, into waiting: inout Waiting, now: Moment) -> Requested {
        guard now < waiting.since + limits.outageGrace else { return .refuse(.unavailable) }
        add(entry)
        alarm(at: min(entry.deadline, waiting.since + limits.outageGrace))
        waiting.requests.append(entry)
        return .wait
    }

    private mutating func remove(_ request: Request, from waiting: inout Waiting) -> Bool {
        let removed = waiting.requests.removeAll { $0.request == request }
        for entry in removed { subtract(entry) }
        return !removed.isEmpty
    }

    private mutating func expire(_ waiting: inout Waiting, now: Moment) -> [Request] {
        let end = waiting.since + limits.outageGrace
        let expired = waiting.requests.removeAll { min($0.deadline, end) <= now }
        for entry in expired { subtract(entry) }
        for entry in waiting.requests.elements { alarm(at: min(entry.deadline, end)) }
        return expired.map(\.request)
    }

    private mutating func expire(_ ready: inout Ready, now: Moment) -> Passed {
        let timedOut = ready.abandon { $0.deadline <= now }
        guard let first = ready.inFlight.first else { return Passed() }
        let silentAt = max(ready.heardAt, first.sentAt) + limits.silenceMax
        if silentAt > now { alarm(at: silentAt) }
        for entry in ready.inFlight.elements where !entry.isAnswered { alarm(at: entry.deadline) }
        return Passed(timedOut: timedOut, isSilent: silentAt <= now)
    }

    private mutating func reply(_ ready: inout Ready) -> Replied {
        guard let entry = ready.takeReply() else { return .unasked }
        if entry.missing == 0 { subtract(entry) }
        return entry.isAnswered ? .nobody : .reply(to: entry.request, isLast: entry.missing == 0)
    }
}
