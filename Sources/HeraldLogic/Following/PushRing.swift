import HeraldCore

/// What is kept of a push that was sent: for `GET /v1/pushes/{id}`, and to send it once more where a route was
/// stale.
struct PushRecord: Sendable {
    /// Without its payload once nobody can ask for it any more.
    var push: Push
    var accepted: Duration
    /// When its targets had been looked up.
    var lookedUp: Duration
    /// When it was handed to the bus.
    var sent: Duration
    /// Nil while nobody was told anything.
    var answered: Duration?
    /// What its caller was told, or would be told by now.
    var answer: PushAnswer
    /// Why the caller got no verdicts.
    var refusal: PushRefusal?

    /// About what it occupies without the payload: 600 bytes with one target, measured at 50,000 records.
    var bytes: Int { 400 + 200 * push.targets.count }
}

/// The records of the last pushes, by consecutive numbers; bounded in number and bytes, the oldest go first.
///
/// Payloads are let go earlier, in order, so that memory holds the payloads of a few seconds and the stories of
/// many minutes.
struct PushRing: Sendable {
    /// Records that went since the last call of `takeEvicted`.
    private var evicted: [UInt64] = []
    private var slots: [PushRecord?] = []
    /// Beside each slot a digest of its push's id. A record is looked for by its id only when somebody asks for its
    /// story, so going through 65,536 digests then (20 µs) is cheaper than keeping a table with each push.
    private var digests: [UInt32] = []
    /// Beside each slot what its record weighs: a record is large, and is not copied to be looked at.
    private var weights: [Weight] = []
    /// Where in `slots` the oldest is.
    private var head = 0
    private(set) var count = 0
    private(set) var bytes = 0
    /// The number of the oldest.
    private(set) var firstNumber: UInt64
    /// The oldest record that may still have its payload.
    private var payloadsFrom: UInt64

    private let countMax: Int
    private let bytesMax: Int

    private struct Weight {
        var accepted = Duration.zero
        var payloadBytes = 0
        /// Without the payload; 0: a gap.
        var recordBytes = 0
    }

    init(first: UInt64, countMax: Int, bytesMax: Int) {
        firstNumber = first
        payloadsFrom = first
        self.countMax = max(1, countMax)
        self.bytesMax = bytesMax
    }

    /// The number that the next record gets.
    var nextNumber: UInt64 { firstNumber &+ UInt64(count) }

    func contains(_ number: UInt64) -> Bool { number &- firstNumber < UInt64(count) }

    /// Whether there is a record of this number, and no gap.
    func holds(_ number: UInt64) -> Bool { contains(number) && weights[slot(number)].recordBytes > 0 }

    subscript(number: UInt64) -> PushRecord? {
        _read {
            if contains(number) { yield slots[slot(number)] } else { yield nil }
        }
        _modify {
            precondition(contains(number), "a record is changed only while it is kept")
            yield &slots[slot(number)]
        }
    }

    /// Appends a record, or a gap for a push that was not sent after all.
    mutating func append(_ record: PushRecord?) {
        if count == slots.count { grow() }
        let slot = (head + count) % slots.count
        slots[slot] = record
        var weight = Weight()
        if let record {
            weight.accepted = record.accepted
            weight.payloadBytes = record.push.message.payload?.bytes.count ?? 0
            weight.recordBytes = record.bytes
            digests[slot] = Self.digest(of: record.push.id)
        } else {
            digests[slot] = 0
        }
        weights[slot] = weight
        count += 1
        bytes += weight.recordBytes + weight.payloadBytes
        while count > countMax || (bytes > bytesMax && count > 1) { removeFirst() }
    }

    /// Lets go of the payloads of records that were accepted before a moment and whose own deadline, if they have one,
    /// is over. The few that have a later one keep theirs for as long as they are kept themselves.
    mutating func dropPayloads(before moment: Duration, at now: Duration) {
        payloadsFrom = max(payloadsFrom, firstNumber)
        while payloadsFrom < nextNumber {
            let slot = slot(payloadsFrom)
            if weights[slot].recordBytes > 0 {
                guard weights[slot].accepted < moment else { return }
                if weights[slot].accepted + (slots[slot]?.push.deadline ?? .zero) <= now {
                    bytes -= weights[slot].payloadBytes
                    weights[slot].payloadBytes = 0
                    slots[slot]?.push.message.payload = nil
                }
            }
            payloadsFrom += 1
        }
    }

    /// The newest record of a push.
    func number(of id: PushID) -> UInt64? {
        let wanted = Self.digest(of: id)
        var newest: UInt64?
        for slot in digests.indices where digests[slot] == wanted && slots[slot]?.push.id == id {
            let offset = slot >= head ? slot - head : slot - head + slots.count
            newest = max(newest ?? 0, firstNumber + UInt64(offset))
        }
        return newest
    }

    /// FNV-1a: https://www.rfc-editor.org/rfc/rfc9923.
    private static func digest(of id: PushID) -> UInt32 {
        var digest: UInt32 = 0x811C_9DC5
        for byte in id.description.utf8 { digest = (digest ^ UInt32(byte)) &* 0x0100_0193 }
        return digest
    }

    /// The numbers of the records that went since this was last called.
    mutating func takeEvicted() -> [UInt64] {
        guard !evicted.isEmpty else { return [] }
        defer { evicted.removeAll(keepingCapacity: true) }
        return evicted
    }

    private mutating func removeFirst() {
        bytes -= weights[head].recordBytes + weights[head].payloadBytes
        if weights[head].recordBytes > 0 { evicted.append(firstNumber) }
        slots[head] = nil
        head = (head + 1) % slots.count
        firstNumber += 1
        count -= 1
    }

    private func slot(_ number: UInt64) -> Int { (head + Int(number - firstNumber)) % slots.count }

    private mutating func grow() {
        var larger: [PushRecord?] = []
        larger.reserveCapacity(max(64, 2 * slots.count))
        for index in 0..<count { larger.append(slots[(head + index) % slots.count]) }
        larger += Array(repeating: nil, count: max(64, 2 * slots.count) - count)
        var largerDigests: [UInt32] = []
        largerDigests.reserveCapacity(larger.count)
        for index in 0..<count { largerDigests.append(digests[(head + index) % slots.count]) }
        largerDigests += Array(repeating: 0, count: larger.count - count)
        var largerWeights: [Weight] = []
        largerWeights.reserveCapacity(larger.count)
        for index in 0..<count { largerWeights.append(weights[(head + index) % slots.count]) }
        largerWeights += Array(repeating: Weight(), count: larger.count - count)
        digests = largerDigests
        weights = largerWeights
        slots = larger
        head = 0
    }
}
