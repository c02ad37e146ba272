import HeraldCore
import HeraldSockets
import HeraldWire
import Synchronization

/// The deliveries that one read of the bus brought, ready to be sent: the same object goes to every loop.
///
/// All that can be done once is done here, off the loops: each delivery is encoded once (and once for each room
/// it names, as the frame says which), names are hashed once.
final class DeliveryBatch: Sendable {
    struct Item: Sendable {
        var way: Way
        var parts: [Part]
        var exclude: [Excluded]
        /// Of a delivery whose sender wants to know more than who is not here.
        var tally: DeliveryTally?
        /// What it holds in memory, about.
        var byteCount: Int
    }

    /// How a loop carries a delivery out.
    enum Way: Sendable {
        /// Users and keys only: given at once.
        case direct
        /// Its rooms are walked through together with the messages before and after it.
        case walks
        /// Several targets, rooms among them, and its sender wants to know of each how many it reached: when nothing
        /// else is under way.
        case alone
    }

    struct Part: Sendable {
        var target: HashedTarget
        var frame: OutboundFrame
        /// Of all parts of the batch.
        var number: UInt32
        /// Its place in the delivery.
        var place: Int
        /// Where it stands in the inbox of the user that it is aimed at.
        var position: InboxPosition?
    }

    /// Who wants to know that a part's target is not here.
    private struct Asker {
        var sender: String
        var ticket: UInt64
        var place: Int
    }

    /// What the last loop finds out.
    struct Missed {
        /// Parts that had nobody on any loop.
        var count = 0
        /// Those of them of which a sender wants to know.
        var receipts: [(sender: String, receipt: Receipt)] = []
    }

    struct Excluded: Sendable {
        var name: UserKey
        var hash: Int
    }

    /// Which messages replace each other at a connection: a client takes the same key in two rooms for two things.
    private struct CollapseScope: Hashable {
        var key: CollapseKey
        var room: RoomID?
    }

    enum HashedTarget: Sendable {
        case user(UserID, hash: Int)
        case key(UserKey, hash: Int)
        case room(RoomID, hash: Int)
        case everyone
    }

    let items: [Item]
    /// What it holds in memory, about.
    let byteCount: Int
    private let partCount: Int
    /// By number; those of deliveries with a tally, and those that nobody asks for, are left out.
    private let askers: [UInt32: Asker]
    /// Of the deliveries that have one.
    let tallies: [DeliveryTally]
    /// Touched once by each loop, when it is done.
    private let tally: Mutex<Tally>

    private struct Tally: Sendable {
        var loopsLeft: Int
        var found: [Bool] = []
        var foundCount = 0
        /// A loop had no room for the batch: what it has is not known.
        var isIncomplete = false
    }

    /// - Parameters:
    ///   - envelopes: as they came, oldest first.
    ///   - loops: how many will call `finish` or `refuse`.
    ///   - now: when they came.
    init(_ envelopes: some Sequence<Envelope>, loops: Int, at now: Moment) {
        var number: UInt32 = 0
        var items: [Item] = []
        var askers: [UInt32: Asker] = [:]
        for envelope in envelopes {
            for delivery in envelope.deliveries {
                let first = number
                var item = Self.item(delivery, &number)
                if let query = delivery.query {
                    if query.confirm == .routed {
                        for place in delivery.targets.indices {
                            let asker = Asker(sender: envelope.sender, ticket: query.ticket, place: place)
                            askers[first + UInt32(place)] = asker
                        }
                    } else {
                        item.tally = DeliveryTally(
                            query,
                            push: delivery.push,
                            targets: delivery.targets.count,
                            sender: envelope.sender,
                            loops: loops,
                            at: now
                        )
                        if item.way == .walks, item.parts.count > 1 { item.way = .alone }
                    }
                }
                items.append(item)
            }
        }
        self.items = items
        self.askers = askers
        tallies = items.compactMap(\.tally)
        byteCount = items.reduce(0) { $0 + $1.byteCount }
        partCount = Int(number)
        tally = Mutex(Tally(loopsLeft: loops))
    }

    /// A loop has sent its share.
    ///
    /// `found`: the parts that had somebody there.
    /// - Returns: what was missed, to the last loop; nothing to the others.
    func finish(found: [UInt32]) -> Missed {
        let absent = tally.withLock { tally -> [UInt32] in
            tally.loopsLeft -= 1
            if tally.loopsLeft == 0, tally.found.isEmpty, found.count == partCount { return [] }
            if tally.found.isEmpty { tally.found = Array(repeating: false, count: partCount) }
            for part in found where !tally.found[Int(part)] {
                tally.found[Int(part)] = true
                tally.foundCount += 1
            }
            guard tally.loopsLeft == 0, !tally.isIncomplete, tally.foundCount < partCount else { return [] }
            return tally.found.indices.filter { !tally.found[$0] }.map { UInt32($0) }
        }
        var missed = Missed(count: absent.count)
        for part in absent {
            guard let asker = askers[part] else { continue }
            let receipt = Receipt(ticket: asker.ticket, target: asker.place, reach: nil, isFinal: true)
            missed.receipts.append((asker.sender, receipt))
        }
        return missed
    }

    /// A loop has no room for it. Who waits for it hears nothing of that loop before the patience is over.
    func refuse() {
        tally.withLock { tally in
            tally.loopsLeft -= 1
            tally.isIncomplete = true
        }
    }

    private static func item(_ delivery: Delivery, _ number: inout UInt32) -> Item {
        var plain: OutboundFrame?
        var parts: [Part] = []
        var way = Way.direct
        // An element of an array, and the strings in it that are not short.
        var byteCount = (delivery.targets.count + delivery.exclude.count) * 100
        parts.reserveCapacity(delivery.targets.count)
        for (place, target) in delivery.targets.enumerated() {
            let position = delivery.position(at: place)
            var room: RoomID?
            var isUser = false
            switch target {
            case .room(let name):
                room = name
                way = .walks
            case .everyone: way = .walks
            case .user: isUser = true
            case .key: break
            }
            let frame: OutboundFrame
            if room == nil, position == nil, let plain {
                frame = plain
            } else {
                frame = self.frame(delivery, room: room, position: position)
                byteCount += frame.byteCount
                if room == nil, position == nil { plain = frame }
            }
            parts.append(
                Part(
                    target: hashed(target),
                    frame: frame,
                    number: number,
                    place: place,
                    position: isUser ? position : nil
                )
            )
            number += 1
        }
        let exclude = delivery.exclude.map { Excluded(name: $0, hash: $0.hashValue) }
        return Item(way: way, parts: parts, exclude: exclude, byteCount: byteCount)
    }

    private static func frame(
        _ delivery: Delivery,
        room: RoomID?,
        position: InboxPosition?
    ) -> OutboundFrame {
        let collapse = delivery.queuePolicy.collapseKey.map { CollapseID(CollapseScope(key: $0, room: room)) }
        let policy = FramePolicy(collapse: collapse, isDroppable: delivery.queuePolicy.isDroppable)
        let push = PushFrame(
            id: delivery.push,
            message: delivery.message,
            room: room,
            wantsAck: delivery.query?.confirm == .acked,
            position: position
        )
        // What stands in an inbox gives way to nothing: it would be a gap there.
        let isKept = !delivery.positions.isEmpty
        return .push(push, policy: isKept ? .wait : policy)
    }

    private static func hashed(_ target: Target) -> HashedTarget {
        switch target {
        case .user(let user): .user(user, hash: user.hashValue)
        case .key(let name): .key(name, hash: name.hashValue)
        case .room(let room): .room(room, hash: room.hashValue)
        case .everyone: .everyone
        }
    }
}
