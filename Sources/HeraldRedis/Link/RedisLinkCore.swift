import Logging
internal import NIOCore
import Synchronization

/// The part of a command link that lives on its event loop: performs what the state machine decides.
// Safe because `outbox`, `board` and the constants may be used from anywhere and all else only on `loop`, which
// every entry from outside reaches through `loop.execute`.
final class RedisLinkCore: RedisConnectionCore, @unchecked Sendable {
    typealias Handler = RedisConnectionHandler<RedisLinkCore>

    let board = RedisStatusBoard()
    let options: RedisLinkOptions
    private let address: RedisAddress
    private let loop: any EventLoop
    private let outbox: Mutex<Outbox>

    private var machine: RedisLinkStateMachine<RedisBatch>
    private var connection: Handler?
    private var greeting: RedisGreeting?
    private var timer: (task: Scheduled<Void>, at: Moment)?
    private var lastError: RedisError?

    private struct Outbox {
        var batches: [RedisBatch] = []
        var commands = 0
        var bytes = 0
        var wasReady = false
    }

    init(address: RedisAddress, options: RedisLinkOptions, loop: any EventLoop) {
        self.address = address
        self.options = options
        self.loop = loop
        outbox = Mutex(Outbox())
        machine = RedisLinkStateMachine(limits: options.limits, now: .now)
    }

    // MARK: From anywhere

    nonisolated(nonsending) func request(
        _ commands: [RedisCommand],
        timeout: Duration?,
        on connection: Int? = nil
    ) async throws(RedisError) -> [RedisValue] {
        let batch = RedisBatch(commands, timeout: timeout, connection: connection)
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                batch.waits(.task(continuation))
                post(batch)
            }
        } onCancel: {
            loop.execute { self.cancel(batch) }
        }
        return try result.get()
    }

    /// The same for a function, which cannot be cancelled.
    func request(
        _ command: RedisCommand,
        _ done: @escaping @Sendable (Result<[RedisValue], RedisError>) -> Void
    ) {
        let batch = RedisBatch([command], timeout: nil)
        batch.waits(.function(done))
        post(batch)
    }

    /// The first batch of a turn wakes the loop; the others go with it.
    private func post(_ batch: RedisBatch) {
        let limits = options.limits
        let size = batch.bytes.readableBytes
        let (isTaken, wakes) = outbox.withLock { outbox -> (Bool, Bool) in
            guard outbox.commands + batch.commands <= limits.commandsInFlightMax,
                outbox.bytes + size <= limits.bytesInFlightMax
            else { return (false, false) }
            outbox.batches.append(batch)
            outbox.commands += batch.commands
            outbox.bytes += size
            return (true, outbox.batches.count == 1)
        }
        if !isTaken { refuse(batch, .overloaded) }
        if wakes { loop.execute { self.drainOutbox() } }
    }

    /// Commands that were asked for and not taken by the loop yet.
    var commandsPosted: Int { outbox.withLock { $0.commands } }

    var hopeless: RedisError? { board.hopeless }

    func attemptFailed(_ error: RedisError) {
        loop.execute { self.note(error) }
    }

    /// Whether a connection became ready since this was last asked.
    func takeWasReady() -> Bool {
        outbox.withLock { outbox in
            defer { outbox.wasReady = false }
            return outbox.wasReady
        }
    }

    /// Takes nothing more and closes when the last reply is there.
    func stop() {
        loop.execute {
            for batch in self.machine.stop() { self.refuse(batch, .stopped) }
            self.board.change { $0.phase = .stopped }
            if self.machine.isDone { self.close() }
        }
    }

    /// Closes now.
    func abort() {
        loop.execute {
            for batch in self.machine.stop() { self.refuse(batch, .stopped) }
            self.board.change { $0.phase = .stopped }
            self.lose(RedisError(.lost, "the link was stopped before the reply came"))
            self.timer?.task.cancel()
            self.timer = nil
        }
    }

    // MARK: Requests, on the loop

    private func drainOutbox() {
        let batches = outbox.withLock { outbox in
            defer {
                outbox.batches = []
                outbox.commands = 0
                outbox.bytes = 0
            }
            return outbox.batches
        }
        request(batches)
    }

    private func request(_ batches: [RedisBatch]) {
        let now = Moment.now
        var toWrite: [RedisBatch] = []
        toWrite.reserveCapacity(batches.count)
        for batch in batches {
            if batch.isCancelled {
                batch.answer(.failure(Self.cancellation))
                continue
            }
            if let bound = batch.connection, !isReady(bound) {
                refuse(batch, .unavailable)
                continue
            }
            let answer = machine.requested(
                batch,
                commands: batch.commands,
                bytes: batch.bytes.readableBytes,
                deadline: now + (batch.timeout ?? options.limits.commandTimeout),
                now: now
            )
            switch answer {
            case .write: toWrite.append(batch)
            case .wait: break
            case .refuse(let reason): refuse(batch, reason)
            }
        }
        write(toWrite)
        setTimer()
    }

    private func isReady(_ connection: Int) -> Bool {
        let status = board.status
        return status.phase == .ready && status.connections == connection
    }

    /// Costs the same however much is in flight: what has left is answered here, and the replies that its place
    /// in the queue still gets find nobody.
    private func cancel(_ batch: RedisBatch) {
        batch.isCancelled = true
        if batch.isWritten || machine.cancelled(batch) { batch.answer(.failure(Self.cancellation)) }
    }

    /// Everything in one write.
    private func write(_ batches: [RedisBatch]) {
        guard let connection, let first = batches.first else { return }
        var commands = first.commands
        var bytes = first.bytes
        first.isWritten = true
        if batches.count > 1 {
            bytes.reserveCapacity(batches.reduce(0) { $0 + $1.bytes.readableBytes })
            for batch in batches.dropFirst() {
                bytes.writeImmutableBuffer(batch.bytes)
                commands += batch.commands
                batch.isWritten = true
            }
        }
        connection.write(bytes)
        board.count { status in
            status.writes += 1
            status.commandsSent += commands
            status.commandsInFlight = machine.commandsInFlight
        }
    }

    // MARK: The connection, on the loop

    func connected(_ handler: Handler) {
        let greeting = RedisGreeting(address: address, name: options.name, scripts: options.scripts)
        guard machine.connected(greetings: greeting.commands.count, now: .now) else {
            handler.close()
            return
        }
        connection = handler
        self.greeting = greeting
        handler.write(RedisBatch(greeting.commands, timeout: nil).bytes)
        setTimer()
    }

    func heard(_ handler: Handler, now: Moment) {
        if handler === connection { machine.heard(now: now) }
    }

    func received(_ reply: RedisValue, from handler: Handler, now: Moment) -> Bool {
        guard handler === connection else { return false }
        switch machine.replied(now: now) {
        case .reply(let batch, let isLast):
            if isLast, batch.commands == 1 {
                batch.answer(.success([reply]))
            } else {
                if batch.values.isEmpty { batch.values.reserveCapacity(batch.commands) }
                batch.values.append(reply)
                if isLast { batch.answer(.success(batch.values)) }
            }
        case .nobody:
            break
        case .greeting:
            return judge(reply)
        case .greeted(let waiting):
            guard judge(reply) else { return false }
            becameReady(waiting)
        case .unasked:
            lose(RedisError(.protocolViolated, "Redis sent a reply that nobody asked for"))
            return false
        }
        return true
    }

    func readEnded(_ handler: Handler) {
        guard handler === connection else { return }
        board.count { $0.commandsInFlight = machine.commandsInFlight }
        if machine.isDone { close() }
    }

    func failed(_ handler: Handler, _ error: RedisError) {
        if handler === connection { lose(error) }
    }

    private func judge(_ reply: RedisValue) -> Bool {
        do throws(RedisError) {
            try greeting?.judge(reply)
            return true
        } catch {
            lose(error)
            return false
        }
    }

    private func becameReady(_ waiting: [RedisBatch]) {
        let run = greeting?.run
        greeting = nil
        lastError = nil
        outbox.withLock { $0.wasReady = true }
        board.change { status in
            status.phase = .ready
            status.connections += 1
            status.run = run
            status.connectedSince = .now
        }
        options.logger.info(
            "connected to redis",
            metadata: ["address": "\(address)", "link": "\(options.name)"]
        )
        write(waiting)
        setTimer()
    }

    /// Gives the connection up and answers who waits for its replies.
    private func lose(_ error: RedisError) {
        let connection = connection
        self.connection = nil
        greeting = nil
        let owed = machine.lost(now: .now)
        if connection != nil { note(error) }
        board.change { status in
            if status.phase == .ready { status.phase = .down }
            status.connectedSince = nil
            status.commandsInFlight = machine.commandsInFlight
        }
        connection?.close()
        let lost = RedisError(.lost, "the connection to Redis ended before the reply came", cause: error)
        for batch in owed { batch.answer(.failure(lost)) }
    }

    private func close() {
        connection?.close()
    }

    private func note(_ error: RedisError) {
        let isNews = lastError?.message != error.message
        lastError = error
        board.failed(error)
        guard isNews, board.status.phase != .stopped else { return }
        options.logger.warning(
            "no connection to redis",
            metadata: ["address": "\(address)", "link": "\(options.name)", "reason": "\(error)"]
        )
    }

    // MARK: Time, on the loop

    private func setTimer() {
        guard let alarm = machine.alarm else { return }
        if let timer, timer.at <= alarm { return }
        timer?.task.cancel()
        let task = loop.scheduleTask(deadline: NIODeadline(alarm)) { self.timePassed() }
        timer = (task, alarm)
    }

    private func timePassed() {
        timer = nil
        let passed = machine.timePassed(now: .now)
        if !passed.timedOut.isEmpty {
            let commands = passed.timedOut.reduce(0) { $0 + $1.commands }
            board.count { $0.commandsTimedOut += commands }
        }
        for batch in passed.timedOut {
            batch.answer(.failure(RedisError(.timedOut, "Redis did not answer in time", cause: lastError)))
        }
        for batch in passed.unavailable { refuse(batch, .unavailable) }
        if passed.isSilent { lose(RedisError(.timedOut, "the connection owes replies and is silent")) }
        if machine.isDone { close() }
        setTimer()
    }

    /// Asks an idle connection for a sign of life, so that a half-open one is noticed before it is needed.
    func checkIdle(_ handler: Handler) {
        guard handler === connection, machine.isIdle(now: .now) else { return }
        request([RedisBatch([RedisCommand("PING")], timeout: options.limits.silenceMax)])
    }

    /// Answers what was not sent. From anywhere, except `unavailable`.
    private func refuse(_ batch: RedisBatch, _ reason: RedisLinkStateMachine<RedisBatch>.RefusalReason) {
        board.count { $0.commandsRefused += batch.commands }
        let error =
            switch reason {
            case .unavailable: RedisError(.unavailable, "there is no connection to Redis", cause: lastError)
            case .overloaded: RedisError(.overloaded, "too many commands are in flight to Redis")
            case .stopped: RedisError(.stopped, "the link to Redis was stopped")
            }
        batch.answer(.failure(error))
    }

    private static let cancellation = RedisError(.cancelled, "the caller was cancelled")
}

extension Moment {
    static var now: Self { Self(nanoseconds: Int64(NIODeadline.now().uptimeNanoseconds)) }
}

extension NIODeadline {
    init(_ moment: Moment) { self = .uptimeNanoseconds(UInt64(max(0, moment.nanoseconds))) }
}
