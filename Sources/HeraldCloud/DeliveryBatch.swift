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
        var parts: [Part]
        var exclude: [Excluded]
        /// What it holds in memory, about.
        var byteCount: Int
    }

    struct Part: Sendable {
        var target: HashedTarget
        var frame: OutboundFrame
        /// Of all parts of the batch.
        var number: UInt32
    }

    struct Excluded: Sendable {
        var name: UserKey
        var hash: Int
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
    /// Touched once by each loop, when it is done.
    private let tally: Mutex<Tally>

    private struct Tally: Sendable {
        var loopsLeft: Int
        var found: [Bool] = []
        var foundCount = 0
    }

    /// `loops`: how many will call `finish`.
    init(_ deliveries: some Sequence<Delivery>, loops: Int) {
        var number: UInt32 = 0
        let items = deliveries.map { Self.item($0, &number) }
        self.items = items
        byteCount = items.reduce(0) { $0 + $1.byteCount }
        partCount = Int(number)
        tally = Mutex(Tally(loopsLeft: loops))
    }

    /// A loop has sent its share.
    ///
    /// `found`: the parts that had somebody there.
    /// - Returns: how many parts had nobody anywhere, to the last loop; 0 to the others.
    func finish(found: [UInt32]) -> Int {
        tally.withLock { tally in
            tally.loopsLeft -= 1
            if tally.loopsLeft == 0, tally.found.isEmpty { return partCount - found.count }
            if tally.found.isEmpty { tally.found = Array(repeating: false, count: partCount) }
            for part in found where !tally.found[Int(part)] {
                tally.found[Int(part)] = true
                tally.foundCount += 1
            }
            return tally.loopsLeft == 0 ? partCount - tally.foundCount : 0
        }
    }

    private static func item(_ delivery: Delivery, _ number: inout UInt32) -> Item {
        var plain: OutboundFrame?
        var parts: [Part] = []
        // An element of an array, and the strings in it that are not short.
        var byteCount = (delivery.targets.count + delivery.exclude.count) * 100
        parts.reserveCapacity(delivery.targets.count)
        for target in delivery.targets {
            let frame: OutboundFrame
            if case .room(let room) = target {
                frame = self.frame(delivery, room: room)
                byteCount += frame.byteCount
            } else {
                frame = plain ?? self.frame(delivery, room: nil)
                if plain == nil { byteCount += frame.byteCount }
                plain = frame
            }
            parts.append(Part(target: hashed(target), frame: frame, number: number))
            number += 1
        }
        let exclude = delivery.exclude.map { Excluded(name: $0, hash: $0.hashValue) }
        return Item(parts: parts, exclude: exclude, byteCount: byteCount)
    }

    private static func frame(_ delivery: Delivery, room: RoomID?) -> OutboundFrame {
        .text(ServerFrame.push(delivery.push, delivery.message, room: room).encoded())
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
