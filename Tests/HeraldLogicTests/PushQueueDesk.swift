import HeraldCore
import HeraldTesting

@testable import HeraldLogic

/// A queue, and a book of what each caller was told. Does with the queue's answers what the pipeline does.
final class PushQueueDesk {
    private var queue: PushQueue
    private var alone: PushTurn?
    private var tickets: [String: PushTicket] = [:]
    private let told = Mutexed<[(name: String, result: Result<PushAnswer, PushRefusal>)]>([])

    enum Submission { case accepted, acceptedWaking, refused }
    enum Turn: Equatable { case turn([String]), park, finished }

    init(_ bounds: PushQueue.Bounds = PushQueue.Bounds(waitingMax: 100, deadline: .seconds(3))) {
        queue = PushQueue(bounds)
    }

    @discardableResult
    func submit(
        _ name: String,
        targets: [String] = ["x"],
        bytes: Int = 0,
        deadline: Duration? = nil,
        isDurable: Bool = false,
        at now: Duration = .zero
    ) throws -> Submission {
        var push = Push(
            id: try PushID(name),
            targets: try targets.map { try Target.user($0) },
            message: Message(event: name, payload: .json([UInt8](repeating: 0x20, count: bytes))),
            deadline: deadline
        )
        push.isDurable = isDurable
        let caller: PushCaller = { [told] result in told.change { $0.append((name, result)) } }
        switch queue.submit(push, at: now, caller) {
        case .accepted(let ticket, let wakes):
            tickets[name] = ticket
            return wakes ? .acceptedWaking : .accepted
        case .refused(let refusal):
            caller(.failure(refusal))
            return .refused
        }
    }

    func nextTurn(evenEmpty: Bool = false) -> Turn {
        switch queue.nextTurn(evenEmpty: evenEmpty) {
        case .turn(let turn): .turn(turn.pushes.map { $0.message.event ?? "" })
        case .park: .park
        case .finished: .finished
        }
    }

    /// What is not to be sent; nil when nothing is.
    func beginSending(_ number: UInt64) -> Set<PushID>? {
        switch queue.beginSending(number) {
        case .send(let without): without
        case .nothingLeft: nil
        }
    }

    func answer(_ number: UInt64, _ names: String?..., at now: Duration = .zero) throws {
        let answers = try names.map { name in
            try name.map { PushAnswer(id: try PushID($0), verdicts: []) }
        }
        tell(queue.answer(number, answers, at: now))
    }

    func fail(_ number: UInt64, _ refusal: PushRefusal) {
        tell(queue.settle(number, Array(repeating: .failure(refusal), count: 9), at: .zero))
    }
    func unpark() { queue.unpark() }
    func takeAlone() -> [String]? { queue.takeAlone().map(remember) }
    func aloneDone() -> Bool { queue.aloneDone() }
    func aloneUnsent() { if let alone { queue.aloneUnsent(alone) } }
    private func remember(_ turn: PushTurn) -> [String] {
        alone = turn
        return turn.pushes.map { $0.message.event ?? "" }
    }

    /// The places of the pushes that leave.
    func leave(_ number: UInt64, _ names: String?...) throws -> [Int] {
        let answers = try names.map { name in
            try name.map { PushAnswer(id: try PushID($0), verdicts: []) }
        }
        let (settled, leaving) = queue.leave(number, answers, at: .zero)
        tell(settled)
        return leaving.map(\.place)
    }

    func drain() -> Bool { queue.drain() }
    func expire(at now: Duration) { tell(queue.expire(at: now)) }
    func close() { tell(queue.close(at: .zero)) }

    func cancel(_ name: String) {
        if let ticket = tickets[name], let settled = queue.cancel(ticket, at: .zero) { tell([settled]) }
    }

    var depth: Int { queue.depth }
    var nextDeadline: Duration? { queue.nextDeadline }
    var counters: PipelineCounters { queue.counters }

    var lines: [String] {
        told.value.map { entry in
            switch entry.result {
            case .success: "\(entry.name) answered"
            case .failure(let refusal): "\(entry.name) \(refusal.code)"
            }
        }
    }

    var results: [String: Result<PushAnswer, PushRefusal>] {
        Dictionary(told.value.map { ($0.name, $0.result) }) { first, _ in first }
    }

    private func tell(_ settled: [SettledPush]) {
        for push in settled { push.caller(push.result) }
    }
}
