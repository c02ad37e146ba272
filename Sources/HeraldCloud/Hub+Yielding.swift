import HeraldCore
import HeraldSockets

extension FrameSink where Self: ~Copyable {
    /// A sink in which nothing waits has nothing to give way to.
    mutating func offer(
        _ frame: borrowing OutboundFrame,
        to id: SocketID,
        isFollowed: Bool
    ) -> OfferOutcome {
        switch send(frame, to: id, isFollowed: isFollowed) {
        case .queued: .queued(.nothing)
        case .overflowed: .overflowed
        case .gone: .gone
        }
    }
}

/// Frames that give way at sockets that read too slowly (`QueuePolicy`): those that are replaced while they wait, and
/// those that are left out. Others never come here.
///
/// Who follows the older frame is told that it was dropped. Frames that are kept for a session which is not announced
/// yet wait in the hub instead of a socket's queue, and the same holds for them.
extension Hub {
    enum Taking {
        case taken, dropped, gone
    }

    /// As `giveFollowed`.
    mutating func giveYielding<Sink: FrameSink & ~Copyable>(
        _ part: DeliveryBatch.Part,
        _ tally: DeliveryTally,
        _ slot: Int,
        _ socket: SocketID,
        isSent: Bool,
        _ share: inout DeliveryTally.Share,
        _ sink: inout Sink
    ) {
        share.reach.connections += 1
        if isSent { return named(again: slot, part.place, tally, &share) }
        let isFollowed = awaited.hasRoom()
        if !isFollowed { unfollowed(slot) }
        let frame = AwaitedFrames.Frame(tally: tally, target: part.place)
        let kept = HeldFrame(frame: part.frame, awaited: isFollowed ? frame : nil)
        switch offer(kept, slot, socket, &sink) {
        case .taken: if isFollowed { share.outstanding += 1 }
        case .dropped:
            share.reach.dropped += 1
            queue.unsent[slot] = .dropped
        case .gone: share.reach.connections -= 1
        }
    }

    /// As `pass`.
    mutating func passYielding<Sink: FrameSink & ~Copyable>(
        _ kept: HeldFrame,
        _ slot: Int,
        _ socket: SocketID,
        _ sink: inout Sink
    ) {
        let taking = offer(kept, slot, socket, &sink)
        guard let frame = kept.awaited else { return }
        switch taking {
        case .taken: break
        case .dropped: awaited.dropped(frame, isCollapsed: false)
        case .gone: awaited.lost(frame)
        }
    }

    /// Another target of the delivery under way names a socket that it came to before.
    mutating func named(
        again slot: Int,
        _ place: Int,
        _ tally: DeliveryTally,
        _ share: inout DeliveryTally.Share
    ) {
        switch queue.unsent[slot] {
        case .dropped: share.reach.dropped += 1
        case .unfollowed: break
        case nil where awaited.share(tally, place, slot) || shareHeld(tally, place, slot):
            share.outstanding += 1
        case nil:
            // A socket that has it and waits for nothing took it.
            share.reach.written += 1
        }
    }

    /// The frame that goes to a slot next cannot be followed, because too many are.
    mutating func unfollowed(_ slot: Int) {
        counts.unfollowed += 1
        queue.unsent[slot] = .unfollowed
    }

    private mutating func offer<Sink: FrameSink & ~Copyable>(
        _ kept: HeldFrame,
        _ slot: Int,
        _ socket: SocketID,
        _ sink: inout Sink
    ) -> Taking {
        if seats[slot].isHeld {
            guard hold(kept, slot) else { return .dropped }
            counts.frames += 1
            return .taken
        }
        switch sink.offer(kept.frame, to: socket, isFollowed: kept.awaited != nil) {
        case .queued(let replacement):
            counts.frames += 1
            if replacement != .nothing { counts.collapsed += 1 }
            if case .followed(let behind) = replacement { awaited.collapsed(slot, behind: behind) }
            if let frame = kept.awaited { awaited.sent(frame, to: slot) }
            return .taken
        case .dropped:
            counts.yielded += 1
            return .dropped
        case .overflowed:
            counts.dropped += 1
            return .dropped
        case .gone: return .gone
        }
    }
}
