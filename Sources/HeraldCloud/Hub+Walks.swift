import HeraldCore
import HeraldSockets

/// How messages to rooms reach their members: `RoomWalk` says whom to visit, here is what a visit does.
extension Hub {
    /// The delivery's rooms are found, and it gets on their walks under one number.
    mutating func startWalks(_ item: DeliveryBatch.Item) {
        var tally = item.tally
        var byteCount = item.byteCount
        for part in item.parts {
            guard let (walk, count) = walk(for: part.target) else { continue }
            queue.found.append(part.number)
            // A room that is named twice.
            if queue.walks[walk].messages.last?.number == queue.number { continue }
            let message = RoomWalk.Message(
                number: queue.number,
                part: part,
                tally: tally.take(),
                byteCount: byteCount
            )
            // Its bytes are done when the first of its walks is.
            byteCount = 0
            queue.walks.append(message, to: walk, count: count)
        }
        counts.finishedBytes += byteCount
        // Nobody is here to be visited. There is one target, or nobody asks.
        if let tally { awaited.call(tally, if: tally.visited(queue.shares)) }
    }

    /// - Returns: nil when the target is no room, or has no member here.
    private mutating func walk(for target: DeliveryBatch.HashedTarget) -> (walk: Int, count: Int)? {
        switch target {
        case .user, .key: return nil
        case .room(let name, let hash):
            guard let room = room(name, hash: hash) else { return nil }
            let walk = rooms[room].walk ?? queue.walks.begin(.room(room))
            rooms[room].walk = walk
            return (walk, rooms[room].members.count)
        case .everyone:
            guard count > 0 else { return nil }
            return (queue.walks.everyone ?? queue.walks.begin(.everyone), seats.count)
        }
    }

    /// Goes on with the walks, one after the other, until the budget is used up.
    mutating func walk<Sink: FrameSink & ~Copyable>(_ budget: inout Int, _ sink: inout Sink) {
        while budget > 0, let walk = queue.walks.next() {
            if advance(walk, &budget, &sink) {
                if case .room(let room) = queue.walks.members[walk] { rooms[room].walk = nil }
                queue.walks.finish(walk)
            } else {
                queue.walks.again(walk)
            }
        }
    }

    /// - Returns: whether all messages got off.
    private mutating func advance<Sink: FrameSink & ~Copyable>(
        _ walk: Int,
        _ budget: inout Int,
        _ sink: inout Sink
    ) -> Bool {
        while true {
            let count = memberCount(queue.walks.members[walk])
            while let message = queue.walks.popEnded(walk, count: count) { ended(message) }
            guard budget > 0 else { return false }
            let cost = queue.walks[walk].visitCost
            guard let range = queue.walks[walk].step(atMost: budget / cost) else { return true }
            let round = Round(
                walk: walk,
                first: queue.walks[walk].messages[0].number,
                bundles: queue.walks[walk].joined()
            )
            switch queue.walks.members[walk] {
            case .room(let room):
                for position in range {
                    visit(Int(rooms[room].members[position]), round, &sink)
                }
                budget -= range.count * cost
            case .everyone:
                for slot in range where seats[slot].socket != nil {
                    visit(slot, round, &sink)
                    budget -= cost
                }
            case .none: break
            }
        }
    }

    private func memberCount(_ members: RoomWalks.Members) -> Int {
        switch members {
        case .room(let room): rooms[room].members.count
        case .everyone: seats.count
        case .none: 0
        }
    }

    private mutating func ended(_ message: RoomWalk.Message) {
        counts.finishedBytes += message.byteCount
        guard let tally = message.tally else { return }
        var share = message.share
        share.isFound = true
        awaited.call(tally, if: tally.visited([share]))
    }

    // MARK: Visits

    /// Whoever was moved while its room is walked through.
    mutating func visitStragglers<Sink: FrameSink & ~Copyable>(_ sink: inout Sink) {
        guard !queue.walks.stragglers.isEmpty else { return }
        for slot in queue.walks.stragglers { catchUp(Int(slot), &sink) }
        queue.walks.stragglers.removeAll(keepingCapacity: true)
    }

    /// What the members of one step get.
    private struct Round {
        var walk: Int
        /// The number of the oldest message.
        var first: UInt64
        /// Nil: one by one.
        var bundles: [OutboundBundle]?
    }

    /// Gives a member all that is on this walk, and on others of its walks.
    private mutating func visit<Sink: FrameSink & ~Copyable>(
        _ slot: Int,
        _ round: borrowing Round,
        _ sink: inout Sink
    ) {
        guard let bundles = round.bundles, let socket = seats[slot].socket, !seats[slot].isHeld,
            seats[slot].mark < round.first, isOnly(round.walk, of: slot)
        else { return catchUp(slot, &sink) }
        seats[slot].mark = queue.number
        for bundle in bundles {
            switch sink.send(bundle, to: socket) {
            case .queued: counts.frames += UInt64(bundle.frames.count)
            case .overflowed: counts.dropped += UInt64(bundle.frames.count)
            case .gone: return
            case nil:
                for frame in bundle.frames { note(sink.send(frame, to: socket, isFollowed: false)) }
            }
        }
    }

    /// Whether a seat has nothing to expect of other walks.
    private func isOnly(_ walk: Int, of slot: Int) -> Bool {
        if queue.walks.count == 1 { return true }
        if let everyone = queue.walks.everyone, everyone != walk { return false }
        return seats[slot].places.allSatisfy { place in
            guard let other = rooms[Int(place.room)].walk else { return true }
            return other == walk
        }
    }

    /// Gives a seat everything that its walks still have for it, one by one and in order.
    mutating func catchUp<Sink: FrameSink & ~Copyable>(_ slot: Int, _ sink: inout Sink) {
        guard !queue.walks.isEmpty, slot < seats.count, seats[slot].mark < queue.number,
            let socket = seats[slot].socket
        else { return }
        queue.pending.removeAll(keepingCapacity: true)
        for place in seats[slot].places {
            if let walk = rooms[Int(place.room)].walk { expect(walk, after: seats[slot].mark) }
        }
        if let everyone = queue.walks.everyone { expect(everyone, after: seats[slot].mark) }
        // Ordered already, unless several walks were looked at.
        queue.pending.sort { $0.number < $1.number }
        seats[slot].mark = queue.number
        var last: UInt64 = 0
        for index in queue.pending.indices where queue.pending[index].number != last {
            let next = queue.pending[index]
            last = next.number
            give(next, slot, socket, &sink)
        }
    }

    private mutating func expect(_ walk: Int, after mark: UInt64) {
        let messages = queue.walks[walk].messages
        for index in messages.indices where messages[index].number > mark {
            queue.pending.append(
                FanOutQueue.Pending(number: messages[index].number, walk: walk, index: index)
            )
        }
    }

    private mutating func give<Sink: FrameSink & ~Copyable>(
        _ next: FanOutQueue.Pending,
        _ slot: Int,
        _ socket: SocketID,
        _ sink: inout Sink
    ) {
        let message = queue.walks[next.walk].messages[next.index]
        guard let tally = message.tally else { return giveUnfollowed(message.part, slot, socket, &sink) }
        var share = message.share
        giveFollowed(message.part, tally, slot, socket, isSent: false, &share, &sink)
        queue.walks[next.walk].messages[next.index].share = share
    }
}
