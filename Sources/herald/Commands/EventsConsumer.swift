import HeraldCore
import HeraldWire

/// Prints the events of a group and acknowledges them: what was not acknowledged by whoever read before first, then
/// what is new.
///
/// The hold is extended between two reads. Who cannot read for longer than it lasts, because standard output is
/// blocked, prints what it has and then finds that another has taken over.
struct EventsConsumer<Log: PresenceLog>: Sendable {
    let log: Log
    let group: String
    let once: Bool
    let holder = "events-" + String(UInt64.random(in: 0 ... .max), radix: 36)
    /// Asked between two reads; true ends it, with what was read printed and acknowledged.
    var isStopped: @Sendable () -> Bool = { false }
    var write: @Sendable ([UInt8]) -> Bool = { Console.deliver($0) }

    private static var hold: Duration { .seconds(10) }
    private static var holdInterval: Duration { .seconds(3) }
    private static var limit: Int { 100 }

    func run() async throws {
        do {
            while !isStopped() {
                guard try await takeHold() else {
                    if once { throw Failure(.unavailable, "another process reads for the group \(group)") }
                    try await Task.sleep(for: .seconds(1))
                    continue
                }
                do { if try await readWhileHeld() { break } } catch PresenceLogError.groupLost { continue }
            }
        } catch {
            await release()
            throw error
        }
        await release()
    }

    private func takeHold() async throws -> Bool {
        try await EventsTrouble.patiently(once) { () async throws(PresenceLogError) in
            try await log.hold(group, by: holder, for: Self.hold)
        }
    }

    /// - Returns: whether this is the end; else the hold is lost.
    private func readWhileHeld() async throws -> Bool {
        let partitions = Array(0..<PresencePartition.count)
        var heldAt = ContinuousClock.now
        var again = true
        while !isStopped() {
            if ContinuousClock.now - heldAt > Self.holdInterval {
                let askedAt = ContinuousClock.now
                guard try await takeHold() else { return false }
                heldAt = askedAt
            }
            let isAgain = again
            let events = try await EventsTrouble.patiently(once) {
                () async throws(PresenceLogError) in
                try await log.read(
                    group,
                    partitions: partitions,
                    again: isAgain,
                    limit: Self.limit,
                    wait: isAgain || once ? .zero : .seconds(1)
                )
            }
            for event in events {
                guard write(PresenceJSON.encode(event)) else { throw EventsTrouble.nobodyReads }
            }
            if events.isEmpty {
                if once, !again { return true }
                again = false
            } else {
                try await EventsTrouble.patiently(once) { () async throws(PresenceLogError) in
                    try await log.acknowledge(events.map(\.id), in: group)
                }
            }
        }
        return true
    }

    /// So that the next need not wait for the hold to lapse.
    private func release() async { try? await log.release(group, by: holder) }
}
