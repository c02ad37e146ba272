import HeraldCore
import HeraldSockets
import HeraldWire

/// A loop's sessions that follow their user's inbox.
///
/// Only these have a lane. To all others a stored message is a push like any other; they see its offset.
struct InboxLanes {
    /// Of one page, as frames.
    let shownBytesMax: Int
    private var lanes: [Int: InboxLane] = [:]
    /// What is to be read when the client has taken what was shown before.
    private var afterDrain: [Int: InboxPosition] = [:]
    /// To be read now.
    private(set) var reads: [InboxRead] = []

    init(shownBytesMax: Int) { self.shownBytesMax = shownBytesMax }

    var count: Int { lanes.count }
    var slots: [Int] { Array(lanes.keys) }

    subscript(slot: Int) -> InboxLane? {
        get { lanes[slot] }
        set { lanes[slot] = newValue }
    }

    mutating func closed(_ slot: Int) -> InboxLane? {
        afterDrain[slot] = nil
        return lanes.removeValue(forKey: slot)
    }

    mutating func wait(_ slot: Int, toReadAfter position: InboxPosition?) { afterDrain[slot] = position }

    /// The client has taken everything up to the end of a page.
    mutating func drained(_ slot: Int) -> InboxPosition? { afterDrain.removeValue(forKey: slot) }

    mutating func read(_ read: InboxRead) { reads.append(read) }

    mutating func takeReads() -> [InboxRead] {
        defer { reads.removeAll(keepingCapacity: true) }
        return reads
    }
}

extension Hub {
    /// A bound session wants to follow its user's inbox.
    mutating func openInbox<Sink: FrameSink & ~Copyable>(
        _ slot: Int,
        _ resume: ResumeRequest,
        _ sink: inout Sink
    ) {
        var effects: [InboxLane.Effect] = []
        inboxes[slot] = InboxLane(resume, shownBytesMax: inboxes.shownBytesMax, &effects)
        for effect in effects { perform(effect, slot, &sink) }
    }

    /// What a page, or the lack of one, leads to; `start` is the caller's to perform, the rest `perform`'s.
    mutating func inboxRead(_ page: InboxPage?, _ slot: Int) -> [InboxLane.Effect] {
        change(slot) { lane, effects in
            if let page { lane.pageRead(page, &effects) } else { lane.readFailed(&effects) }
        }
    }

    /// Something may have been missed, or it is time to look: one read for each session.
    mutating func doubtInboxes<Sink: FrameSink & ~Copyable>(
        where isDue: (Int) -> Bool,
        _ sink: inout Sink
    ) {
        for slot in inboxes.slots where isDue(slot) {
            for effect in change(slot, { $0.doubted(&$1) }) { perform(effect, slot, &sink) }
        }
    }

    /// A stored message for a session that follows its inbox.
    mutating func inboxArrived<Sink: FrameSink & ~Copyable>(
        _ frame: HeldFrame,
        at position: InboxPosition,
        _ slot: Int,
        _ sink: inout Sink
    ) {
        let arrival = InboxLane.Arrival(position: position, frame: frame)
        for effect in change(slot, { $0.arrived(arrival, &$1) }) { perform(effect, slot, &sink) }
    }

    mutating func perform<Sink: FrameSink & ~Copyable>(
        _ effect: InboxLane.Effect,
        _ slot: Int,
        _ sink: inout Sink
    ) {
        guard let socket = seats[slot].socket, let user = seats[slot].name?.user else { return }
        switch effect {
        case .start: break
        case .reset(let position):
            counts.inboxResets += 1
            _ = sink.send(.text(ServerFrame.reset(position).encoded()), to: socket, isFollowed: false)
        case .show(let message, let endsPage):
            counts.inboxShown += 1
            let push = PushFrame(id: message.push, message: message.message, position: message.position)
            let frame = OutboundFrame.push(push)
            let outcome = sink.send(frame, to: socket, isFollowed: endsPage)
            if endsPage, case .queued = outcome { awaited.sent(nil, to: slot) }
        case .pass(let kept): pass(kept, slot, socket, &sink)
        case .skip(let kept):
            counts.inboxSkipped += 1
            if let frame = kept.awaited { awaited.skipped(frame, slot) }
        case .forget(let kept): if let frame = kept.awaited { awaited.lost(frame) }
        case .read(let position, let afterDrain):
            if afterDrain {
                inboxes.wait(slot, toReadAfter: position)
            } else {
                inboxes.read(InboxRead(socket: socket, owner: .user(user), after: position))
            }
        }
    }

    /// Sends a frame that was kept for a session.
    mutating func pass<Sink: FrameSink & ~Copyable>(
        _ kept: HeldFrame,
        _ slot: Int,
        _ socket: SocketID,
        _ sink: inout Sink
    ) {
        if kept.frame.hasPolicy { return passYielding(kept, slot, socket, &sink) }
        let outcome = sink.send(kept.frame, to: socket, isFollowed: kept.awaited != nil)
        guard let frame = kept.awaited else { return }
        switch outcome {
        case .queued: awaited.sent(frame, to: slot)
        case .overflowed: awaited.dropped(frame, isCollapsed: false)
        case .gone: awaited.lost(frame)
        }
    }

    /// The client took the last frame of a page: the next is read.
    mutating func pageDrained(_ slot: Int) {
        guard let position = inboxes.drained(slot), let socket = seats[slot].socket,
            let user = seats[slot].name?.user
        else { return }
        inboxes.read(InboxRead(socket: socket, owner: .user(user), after: position))
    }

    private mutating func change(
        _ slot: Int,
        _ event: (inout InboxLane, inout [InboxLane.Effect]) -> Void
    ) -> [InboxLane.Effect] {
        guard var lane = inboxes[slot] else { return [] }
        var effects: [InboxLane.Effect] = []
        event(&lane, &effects)
        inboxes[slot] = lane
        return effects
    }
}
