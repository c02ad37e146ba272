/// The decisions of one connection's lane: whose the next bytes are, which answers may leave, when to stop reading.
/// It does no I/O and reads no clock; the bytes themselves stay with the handler.
///
///     taking ──another request, its end certain──▶ finishing(one) ──answers left──▶ lent ──answered there──▶ taking
///        │                                            │
///        ├──bytes that are strange, the end──▶ finishing(rest) ──answers left──▶ given
///        └──the connection is gone──▶ closed                (from every state)
///
/// - taking: requests are taken here and owe an answer each. With nothing owed, `finishing` is passed over.
/// - finishing: the next bytes are the ordinary path's, which gets them when everything that is owed has left: it
///   must not answer before.
/// - lent: the ordinary path has one request whose end is certain. What comes behind it waits here until the ordinary
///   path has answered and rests.
/// - given: all that comes is the ordinary path's, for good.
///
/// Answers leave in the order of their requests, whatever the order in which they become known.
struct LeanLaneStateMachine<Answer, Work>: ~Copyable {
    private var state = State.taking
    /// One for each request that is owed an answer, oldest first; the first has the number `firstOwed`.
    private var owed: [Slot] = []
    private var firstOwed: UInt64 = 0
    private let owedMax: Int

    private enum State {
        case taking
        case finishing(Handover)
        /// So many bytes of the request are still to be passed on.
        case lent(bytes: Int)
        case given
        case closed
    }

    private enum Handover {
        case one(bytes: Int)
        case rest
    }

    private enum Slot {
        /// What is under way for it; nil until that is told.
        case working(Work?)
        case answered(Answer)
    }

    /// - Parameters:
    ///   - owedMax: requests that may be owed an answer; more are not read.
    ///   - isGiven: whether everything is the ordinary path's from the start.
    init(owedMax: Int, isGiven: Bool = false) {
        self.owedMax = owedMax
        if isGiven { state = .given }
    }

    // MARK: Bytes

    enum Step: Equatable {
        /// Nothing can be done before more has come.
        case wait
        /// A request of the lane is there in part; it is whole with so many bytes.
        case await(bytes: Int)
        /// Bytes are there and have to wait for answers: read no more.
        case hold
        /// The next bytes are a request, which is owed an answer under this number.
        case take(LeanRequest, UInt64)
        /// Pass so many bytes on.
        case pass(bytes: Int)
    }

    /// What to do with the bytes that are there.
    ///
    /// - Parameters:
    ///   - available: how many there are.
    ///   - mayTake: whether answers can be written at the moment.
    ///   - read: tells what the bytes begin with; asked where it matters.
    /// - Returns: the step; asked again after all but `wait`, `await` and `hold`.
    mutating func step(available: Int, mayTake: Bool = true, read: () -> LeanReading) -> Step {
        switch state {
        case .taking:
            guard available > 0 else { return .wait }
            guard owed.count < owedMax, mayTake else { return .hold }
            return taking(available, read())
        case .finishing(let handover):
            guard owed.isEmpty else { return available > 0 ? .hold : .wait }
            return hand(handover, available)
        case .lent(let bytes):
            guard available > 0 else { return .wait }
            guard bytes > 0 else { return .hold }
            return hand(.one(bytes: bytes), available)
        case .given: return available > 0 ? .pass(bytes: available) : .wait
        case .closed: return .wait
        }
    }

    private mutating func taking(_ available: Int, _ reading: LeanReading) -> Step {
        switch reading {
        case .partial: return .wait
        case .lean(let request):
            guard available >= request.bytes else { return .await(bytes: request.bytes) }
            owed.append(.working(nil))
            return .take(request, firstOwed + UInt64(owed.count - 1))
        case .ordinary(let bytes): return begin(.one(bytes: bytes), available)
        case .old, .strange: return begin(.rest, available)
        }
    }

    private mutating func begin(_ handover: Handover, _ available: Int) -> Step {
        guard owed.isEmpty else {
            state = .finishing(handover)
            return .hold
        }
        return hand(handover, available)
    }

    private mutating func hand(_ handover: Handover, _ available: Int) -> Step {
        switch handover {
        case .one(let bytes):
            let passed = min(bytes, available)
            state = .lent(bytes: bytes - passed)
            return passed > 0 ? .pass(bytes: passed) : .wait
        case .rest:
            state = .given
            return available > 0 ? .pass(bytes: available) : .wait
        }
    }

    /// The request that was just taken is none of the lane's after all: the ordinary path gets it.
    mutating func untake(_ request: LeanRequest) {
        owed.removeLast()
        state = .finishing(.one(bytes: request.bytes))
    }

    /// A request of so many bytes has not come whole for too long: the ordinary path gets it, and tells it so.
    mutating func late(bytes: Int) {
        guard case .taking = state else { return }
        state = .finishing(.one(bytes: bytes))
    }

    /// Nothing more is to be taken here: the connection ends or shall end, and the ordinary path sees to that.
    mutating func give() {
        switch state {
        case .taking, .finishing: state = .finishing(.rest)
        case .lent: state = .given
        case .given, .closed: break
        }
    }

    // MARK: Answers

    /// What is under way for a request that was taken, for who has to stop it.
    mutating func works(_ number: UInt64, _ work: Work) {
        guard let index = slot(number), case .working = owed[index] else { return }
        owed[index] = .working(work)
    }

    /// The answer to a request is known.
    ///
    /// - Returns: whether an answer may leave now.
    mutating func answered(_ number: UInt64, _ answer: Answer) -> Bool {
        guard let index = slot(number) else { return false }
        owed[index] = .answered(answer)
        return index == 0
    }

    private func slot(_ number: UInt64) -> Int? {
        guard number >= firstOwed, number - firstOwed < UInt64(owed.count) else { return nil }
        return Int(number - firstOwed)
    }

    /// The answers that leave now, in order.
    mutating func leave() -> [Answer] {
        var leaving: [Answer] = []
        for slot in owed {
            guard case .answered(let answer) = slot else { break }
            leaving.append(answer)
        }
        owed.removeFirst(leaving.count)
        firstOwed += UInt64(leaving.count)
        return leaving
    }

    /// The connection is gone.
    ///
    /// - Returns: what is under way for nobody.
    mutating func closed() -> [Work] {
        state = .closed
        defer {
            firstOwed += UInt64(owed.count)
            owed = []
        }
        return owed.compactMap { slot in
            switch slot {
            case .working(let work): work
            case .answered: nil
            }
        }
    }

    // MARK: The ordinary path

    /// The ordinary path has answered all that it was passed, and rests.
    ///
    /// - Returns: whether requests are taken here again.
    mutating func returned() -> Bool {
        guard case .lent(bytes: 0) = state else { return false }
        state = .taking
        return true
    }

    /// Whether the ordinary path has a request whole, and what comes behind it waits for its answer.
    var isLent: Bool {
        if case .lent(bytes: 0) = state { true } else { false }
    }

    /// Whether the ordinary path has the connection for good.
    var isGiven: Bool {
        switch state {
        case .given, .closed: true
        case .taking, .finishing, .lent: false
        }
    }

    /// Whether answers are owed.
    var owes: Bool { !owed.isEmpty }
}
