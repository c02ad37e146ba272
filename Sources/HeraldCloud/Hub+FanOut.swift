import HeraldCore
import HeraldSockets

/// Where frames go: the loop's sockets, or a test's record.
protocol FrameSink: ~Copyable {
    mutating func send(_ frame: borrowing OutboundFrame, to id: SocketID, isFollowed: Bool) -> SendOutcome
    /// For frames without a policy. Nil: they have to be sent one by one.
    mutating func send(_ bundle: borrowing OutboundBundle, to id: SocketID) -> SendOutcome?
    /// For frames that have a policy.
    mutating func offer(_ frame: borrowing OutboundFrame, to id: SocketID, isFollowed: Bool) -> OfferOutcome
}

extension SocketTable: FrameSink {}

/// What a shard's fan-out has done.
struct FanOutCounts: Equatable, Sendable {
    /// Deliveries taken from the inbox.
    var deliveries: UInt64 = 0
    /// Frames handed to a socket's queue or kept for a session about to be announced.
    var frames: UInt64 = 0
    /// Frames that a full queue did not take.
    var dropped: UInt64 = 0
    /// Droppable frames that were left out, and frames of which a newer one took the place.
    var yielded: UInt64 = 0
    var collapsed: UInt64 = 0
    /// Targets that had nobody on the whole node; the loop that finds it out counts it.
    var missed: UInt64 = 0
    /// Stored messages shown from a page; dropped because they were shown before; gaps that could not be filled.
    var inboxShown: UInt64 = 0
    var inboxSkipped: UInt64 = 0
    var inboxResets: UInt64 = 0
    /// Frames that were sent and not followed as asked, for there were too many.
    var unfollowed: UInt64 = 0
    /// Bytes of batches that are done, until they were subtracted from the loop's gauge.
    var finishedBytes = 0
}

/// Batches that wait for this loop's sockets, how far the first one is, and what is on its way through rooms.
struct FanOutQueue {
    private var batches: [DeliveryBatch] = []
    private var first = 0
    /// Of the first batch.
    var item = 0
    var part = 0
    /// Members or slots still to visit of the target under way; nil: not begun.
    var left: Int?
    /// The number of the last delivery that was taken. Each has the next even one; the odd one below it marks the
    /// seats of excluded keys, as far as they have to be told from those that got it.
    var number: UInt64 = 0
    var walks = RoomWalks()
    /// By target of the delivery under way, if it has a tally.
    var shares: [DeliveryTally.Share] = []
    /// Of the delivery under way, if it has a tally: slots that were visited and of which nothing is awaited.
    var unsent: [Int: Unsent] = [:]
    /// What senders are to be told of targets that are not here.
    var absent: [(sender: String, receipt: Receipt)] = []
    /// Targets of the first batch that found somebody here.
    var found: [UInt32] = []
    /// What a seat is to be given, while it is visited.
    var pending: [Pending] = []

    /// A message that a seat has not had, by its walk.
    struct Pending {
        var number: UInt64
        var walk: Int
        var index: Int
    }

    enum Unsent {
        /// It had no room for the frame.
        case dropped
        /// It got the frame, and nobody will know whether it was written.
        case unfollowed
    }

    /// Whether a part of the first batch found somebody here. Those of one delivery were added last.
    func isFound(_ part: DeliveryBatch.Part) -> Bool {
        for number in found.reversed() {
            if number == part.number { return true }
            if number < part.number { return false }
        }
        return false
    }

    var isEmpty: Bool { first == batches.count }
    var head: DeliveryBatch? { isEmpty ? nil : batches[first] }

    mutating func append(_ batch: DeliveryBatch) { batches.append(batch) }

    mutating func removeFirst() {
        first += 1
        item = 0
        part = 0
        left = nil
        found.removeAll(keepingCapacity: true)
        if first == batches.count {
            batches.removeAll(keepingCapacity: true)
            first = 0
        } else if first >= 256 {
            batches.removeFirst(first)
            first = 0
        }
    }
}

extension Hub {
    /// Sends what waits, at most about `budget` frames and look-ups of it.
    ///
    /// Deliveries are taken in their order. What is aimed at users and keys is given at once; what is aimed at rooms
    /// gets on their walks (`RoomWalk`), which go on slice by slice. A socket nevertheless gets everything in the
    /// order in which the bus brought it: before a delivery is given past a walk, the seat is given what the walk
    /// still has for it (`catchUp`).
    ///
    /// A socket that several targets of one delivery name gets it once: its seat is marked with the delivery's
    /// number when it has had it, and the seats of excluded keys are marked beforehand.
    ///
    /// - Returns: whether anything still waits.
    mutating func fanOut<Sink: FrameSink & ~Copyable>(budget: Int, to sink: inout Sink) -> Bool {
        var budget = budget
        visitStragglers(&sink)
        while budget > 0, !queue.isEmpty || !queue.walks.isEmpty {
            // Half of the time belongs to what is on its way, however much comes.
            var taking = queue.walks.isEmpty ? budget : (budget + 1) / 2
            budget -= taking
            take(&taking, &sink)
            budget += taking
            walk(&budget, &sink)
        }
        return !queue.isEmpty || !queue.walks.isEmpty
    }

    /// Takes deliveries until the budget is used up or the next has to wait for the walks.
    private mutating func take<Sink: FrameSink & ~Copyable>(_ budget: inout Int, _ sink: inout Sink) {
        while budget > 0, let batch = queue.head {
            guard queue.item < batch.items.count else {
                let missed = batch.finish(found: queue.found)
                counts.missed += UInt64(missed.count)
                queue.absent += missed.receipts
                queue.removeFirst()
                continue
            }
            let item = batch.items[queue.item]
            if queue.left == nil {
                guard mayBegin(item) else { return }
                begin(item, &sink)
            }
            guard queue.part < item.parts.count else {
                end(item)
                continue
            }
            budget -= 1
            guard visit(item.parts[queue.part], item, &budget, &sink) else { continue }
            queue.part += 1
            queue.left = -1
        }
    }

    private func mayBegin(_ item: DeliveryBatch.Item) -> Bool {
        switch item.way {
        case .direct: true
        case .walks: !queue.walks.isFull
        case .alone: queue.walks.isEmpty
        }
    }

    private mutating func begin<Sink: FrameSink & ~Copyable>(
        _ item: DeliveryBatch.Item,
        _ sink: inout Sink
    ) {
        counts.deliveries += 1
        // Not nil: the delivery has begun.
        queue.left = -1
        if item.tally != nil {
            queue.shares = Array(repeating: DeliveryTally.Share(), count: item.parts.count)
            queue.unsent.removeAll()
        }
        // On a walk the excluded shall look like those that have had it.
        let mark = queue.number + (item.way == .walks ? 2 : 1)
        for excluded in item.exclude {
            var cursor = names.search(excluded.hash)
            while let slot = names.next(&cursor) {
                guard seats[slot].name == excluded.name else { continue }
                catchUp(slot, &sink)
                seats[slot].mark = mark
            }
        }
    }

    private mutating func end(_ item: DeliveryBatch.Item) {
        queue.number += 2
        if item.way == .walks {
            startWalks(item)
        } else {
            counts.finishedBytes += item.byteCount
            if let tally = item.tally {
                for part in item.parts where queue.isFound(part) { queue.shares[part.place].isFound = true }
                awaited.call(tally, if: tally.visited(queue.shares))
            }
        }
        queue.item += 1
        queue.part = 0
        queue.left = nil
    }

    /// Visits the sockets of a target, or a slice of them.
    ///
    /// - Returns: whether all were visited.
    private mutating func visit<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ item: DeliveryBatch.Item,
        _ budget: inout Int,
        _ sink: inout Sink
    ) -> Bool {
        let tally = item.tally
        switch part.target {
        // Comes when all parts were looked at.
        case .room where item.way == .walks, .everyone where item.way == .walks: return true
        case .user(let user, let hash):
            var next = users.head(hash) { seats[$0].name?.user == user }
            if next != nil { queue.found.append(part.number) }
            while let slot = next {
                give(part, tally, slot, &sink)
                budget -= 1
                next = users.next(slot)
            }
            return true
        case .key(let name, let hash):
            var cursor = names.search(hash)
            var isFound = false
            while let slot = names.next(&cursor) {
                guard seats[slot].name == name else { continue }
                isFound = true
                give(part, tally, slot, &sink)
                budget -= 1
            }
            if isFound { queue.found.append(part.number) }
            return true
        case .room(let name, let hash):
            guard let room = room(name, hash: hash) else { return true }
            if queue.left == -1 {
                queue.found.append(part.number)
                queue.left = rooms[room].members.count
            }
            return visitMembers(of: room, part, tally, &budget, &sink)
        case .everyone:
            if queue.left == -1 {
                if count > 0 { queue.found.append(part.number) }
                queue.left = seats.count
            }
            return visitAll(part, tally, &budget, &sink)
        }
    }

    /// From the last to the first: whoever leaves meanwhile is replaced by a later one, which was visited.
    private mutating func visitMembers<Sink: FrameSink & ~Copyable>(
        of room: Int,
        _ part: DeliveryBatch.Part,
        _ tally: DeliveryTally?,
        _ budget: inout Int,
        _ sink: inout Sink
    ) -> Bool {
        var left = min(queue.left ?? 0, rooms[room].members.count)
        while left > 0, budget > 0 {
            left -= 1
            budget -= 1
            give(part, tally, Int(rooms[room].members[left]), &sink)
        }
        queue.left = left
        return left == 0
    }

    private mutating func visitAll<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ tally: DeliveryTally?,
        _ budget: inout Int,
        _ sink: inout Sink
    ) -> Bool {
        var left = queue.left ?? 0
        while left > 0, budget > 0 {
            left -= 1
            guard seats[left].name != nil else { continue }
            budget -= 1
            give(part, tally, left, &sink)
        }
        queue.left = left
        return left == 0
    }

    /// Gives a seat the delivery under way, unless it has had it.
    private mutating func give<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ tally: DeliveryTally?,
        _ slot: Int,
        _ sink: inout Sink
    ) {
        catchUp(slot, &sink)
        let number = queue.number + 2
        let isExcluded = seats[slot].mark == number - 1
        guard !isExcluded, let socket = seats[slot].socket else { return }
        let isSent = seats[slot].mark == number
        seats[slot].mark = number
        guard let tally else {
            if !isSent { giveUnfollowed(part, slot, socket, &sink) }
            return
        }
        // A message of a walk may have left something there.
        if !isSent { queue.unsent[slot] = nil }
        var share = queue.shares[part.place]
        giveFollowed(part, tally, slot, socket, isSent: isSent, &share, &sink)
        queue.shares[part.place] = share
    }

    /// Sends a frame of which nobody wants to hear.
    mutating func giveUnfollowed<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ slot: Int,
        _ socket: SocketID,
        _ sink: inout Sink
    ) {
        if part.frame.hasPolicy { return passYielding(HeldFrame(frame: part.frame), slot, socket, &sink) }
        if seats[slot].isHeld {
            counts.frames += 1
            _ = hold(HeldFrame(frame: part.frame, position: part.position), slot)
            return
        }
        if let position = part.position, inboxes[slot] != nil {
            return inboxArrived(HeldFrame(frame: part.frame), at: position, slot, &sink)
        }
        note(sink.send(part.frame, to: socket, isFollowed: false))
    }

    mutating func note(_ outcome: SendOutcome) {
        switch outcome {
        case .queued: counts.frames += 1
        case .overflowed: counts.dropped += 1
        case .gone: break
        }
    }

    /// Sends a frame whose sender wants to know what becomes of it, and counts that in `share`.
    mutating func giveFollowed<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ tally: DeliveryTally,
        _ slot: Int,
        _ socket: SocketID,
        isSent: Bool,
        _ share: inout DeliveryTally.Share,
        _ sink: inout Sink
    ) {
        if part.frame.hasPolicy {
            return giveYielding(part, tally, slot, socket, isSent: isSent, &share, &sink)
        }
        share.reach.connections += 1
        if isSent { return named(again: slot, part.place, tally, &share) }
        let frame = AwaitedFrames.Frame(tally: tally, target: part.place)
        let isFollowed = awaited.hasRoom()
        if !isFollowed { unfollowed(slot) }
        let kept = HeldFrame(
            frame: part.frame,
            awaited: isFollowed ? frame : nil,
            position: part.position
        )
        if seats[slot].isHeld {
            counts.frames += 1
            if !hold(kept, slot) {
                share.reach.dropped += 1
                queue.unsent[slot] = .dropped
            } else if isFollowed {
                share.outstanding += 1
            }
            return
        }
        if let position = part.position, inboxes[slot] != nil {
            if isFollowed { share.outstanding += 1 }
            return inboxArrived(kept, at: position, slot, &sink)
        }
        switch sink.send(part.frame, to: socket, isFollowed: isFollowed) {
        case .queued:
            counts.frames += 1
            guard isFollowed else { return }
            awaited.sent(frame, to: slot)
            share.outstanding += 1
        case .overflowed:
            counts.dropped += 1
            share.reach.dropped += 1
            queue.unsent[slot] = .dropped
        case .gone: share.reach.connections -= 1
        }
    }
}
