import HeraldCore
import HeraldWire

@testable import HeraldCloud
@testable import HeraldSockets

/// A hub whose sockets remember what they were sent.
struct Shard: FrameSink {
    var hub = Hub()
    var sent: [(socket: SocketID, frame: OutboundFrame)] = []
    /// Messages of each write: more than one when they went out joined.
    var writes: [Int] = []
    /// Takes no bundles, as a socket that compresses does not.
    var wantsOneByOne = false
    var tallies: [DeliveryTally] = []
    /// Of all batches.
    var pushedBytes = 0

    static func socket(_ slot: Int) -> SocketID { SocketID(loop: 0, slot: slot, generation: 1) }

    mutating func attach(_ slot: Int, _ name: String, rooms: [String] = [], announced: Bool = true) {
        hub.attach(Self.socket(slot), UserKey(fixed: name))
        for room in rooms { _ = hub.join(slot, RoomID(fixed: room)) }
        if announced { _ = hub.announce(slot) }
    }

    /// As the handler does it.
    mutating func announce(_ slot: Int) {
        for kept in hub.announce(slot) { sent.append((Self.socket(slot), kept.frame)) }
    }

    mutating func push(
        _ id: String,
        _ targets: [Target],
        exclude: [String] = [],
        query: ReceiptQuery? = nil,
        policy: QueuePolicy = .standard,
        dataBytes: Int = 1
    ) {
        let delivery = Delivery(
            push: PushID(fixed: id),
            message: Message(
                event: "e",
                payload: .json(Array(repeating: UInt8(ascii: "1"), count: dataBytes))
            ),
            targets: targets,
            exclude: exclude.map { UserKey(fixed: $0) },
            queuePolicy: policy,
            query: query
        )
        let envelope = Envelope(sender: "logic-1", deliveries: [delivery])
        let batch = DeliveryBatch([envelope], loops: 1, at: Moment(milliseconds: 0))
        tallies += batch.tallies
        pushedBytes += batch.byteCount
        hub.queue.append(batch)
    }

    mutating func deliver(budget: Int = 10_000) -> Bool {
        var sink = Shard()
        sink.wantsOneByOne = wantsOneByOne
        let isMore = hub.fanOut(budget: budget, to: &sink)
        sent += sink.sent
        writes += sink.writes
        return isMore
    }

    mutating func send(_ frame: borrowing OutboundFrame, to id: SocketID, isFollowed: Bool) -> SendOutcome {
        sent.append((id, copy frame))
        writes.append(1)
        return .queued
    }

    mutating func send(_ bundle: borrowing OutboundBundle, to id: SocketID) -> SendOutcome? {
        if wantsOneByOne { return nil }
        for frame in bundle.frames { sent.append((id, frame)) }
        writes.append(bundle.frames.count)
        return .queued
    }

    func got(_ slot: Int) -> [String] { pushes(slot).map(\.0) }
    func rooms(_ slot: Int) -> [RoomID?] { pushes(slot).map(\.1) }

    /// What a slot got while so much was sent.
    func pushes(to slot: Int, in range: Range<Int>) -> [String] {
        sent[range].filter { $0.socket == Self.socket(slot) }.compactMap {
            push(in: $0.frame)?.id.description
        }
    }

    private func pushes(_ slot: Int) -> [(String, RoomID?)] {
        sent.filter { $0.socket == Self.socket(slot) }.compactMap { push(in: $0.frame) }
            .map { ($0.id.description, $0.room) }
    }

    private func push(in frame: OutboundFrame) -> PushFrame? {
        let bytes = UnsafeRawBufferPointer(start: frame.bytes.base, count: frame.bytes.count)
        let payload = Array(bytes[(bytes[1] < 126 ? 2 : 4)...])
        guard case .push(let push) = try? ServerFrame.decode(payload) else { return nil }
        return push
    }
}
