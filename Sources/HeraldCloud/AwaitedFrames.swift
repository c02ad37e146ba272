import HeraldCore

/// The frames of one loop of which somebody waits to hear: that they were written, or that the client has them.
///
/// By slot, in the order in which they were sent; a socket's frames are written in that order. Bounded: what
/// comes beyond is delivered and not followed: its tally never counts it as written.
struct AwaitedFrames {
    struct Frame {
        var tally: DeliveryTally
        var target: Int
        /// Other targets of the delivery that named the socket, too.
        var others: [Int] = []
    }

    private struct Lane {
        /// Nil: the last frame of a page of the inbox.
        var writing: [Frame?] = []
        var acking: [Frame] = []
        var isEmpty: Bool { writing.isEmpty && acking.isEmpty }
    }

    private let max: Int
    private var lanes: [Int: Lane] = [:]
    private(set) var count = 0
    /// Tallies whose receipts shall be fetched.
    private var called: [DeliveryTally] = []
    /// The count at which those that nobody waits for any more are looked for.
    private var sweepsAt: Int

    private static let sweepsAtLeast = 1024

    init(max: Int) {
        self.max = max
        sweepsAt = Self.sweepsAtLeast
    }

    /// Whether another one can be followed.
    mutating func hasRoom() -> Bool {
        if count >= sweepsAt { sweep() }
        return count < max
    }

    /// `frame`: nil for the last one of a page of the inbox.
    mutating func sent(_ frame: Frame?, to slot: Int) {
        lanes[slot, default: Lane()].writing.append(frame)
        count += 1
    }

    /// The client was shown it before, by other means.
    mutating func skipped(_ frame: Frame, _ slot: Int) {
        var lane = lanes[slot] ?? Lane()
        wrote(frame, &lane)
        if frame.tally.wantsAck { count += 1 }
        put(lane, slot)
    }

    /// Another target of a delivery names a socket that has the frame already.
    ///
    /// - Returns: false when there is nothing to wait for any more.
    mutating func share(_ tally: DeliveryTally, _ target: Int, _ slot: Int) -> Bool {
        guard var lane = lanes[slot] else { return false }
        if let last = lane.writing.indices.last, lane.writing[last]?.tally === tally {
            lane.writing[last]?.others.append(target)
        } else if let last = lane.acking.lastIndex(where: { $0.tally === tally }) {
            lane.acking[last].others.append(target)
        } else {
            return false
        }
        lanes[slot] = lane
        return true
    }

    /// The kernel took the next frames that were sent to the slot.
    ///
    /// - Returns: whether a page of the inbox ended among them.
    mutating func written(_ frames: Int, to slot: Int) -> Bool {
        guard var lane = lanes[slot] else { return false }
        var isPageOver = false
        for case let frame in lane.writing.prefix(frames) {
            if let frame { wrote(frame, &lane) } else { isPageOver = true }
            if frame?.tally.wantsAck != true { count -= 1 }
        }
        lane.writing.removeFirst(min(frames, lane.writing.count))
        put(lane, slot)
        return isPageOver
    }

    private mutating func wrote(_ frame: Frame, _ lane: inout Lane) {
        for target in frame.targets { call(frame.tally, if: frame.tally.written(target)) }
        if frame.tally.wantsAck { lane.acking.append(frame) }
    }

    /// Whether an acknowledgement of this push is awaited from the slot. It may come before the write is told.
    func isAwaited(_ push: PushID, from slot: Int) -> Bool {
        guard let lane = lanes[slot] else { return false }
        return lane.acking.contains { $0.tally.push == push }
            || lane.writing.contains { $0?.tally.wantsAck == true && $0?.tally.push == push }
    }

    /// The client says that it has a push.
    mutating func acked(_ push: PushID, from slot: Int) {
        guard var lane = lanes[slot] else { return }
        for frame in lane.acking where frame.tally.push == push {
            for target in frame.targets { call(frame.tally, if: frame.tally.acked(target)) }
            count -= 1
        }
        lane.acking.removeAll { $0.tally.push == push }
        put(lane, slot)
    }

    /// The socket is gone.
    mutating func closed(_ slot: Int) {
        guard let lane = lanes.removeValue(forKey: slot) else { return }
        for case let frame? in lane.writing { lost(frame) }
        for frame in lane.acking { lost(frame) }
        count -= lane.writing.count + lane.acking.count
    }

    /// A newer frame took the place of one that was still to be written.
    ///
    /// - Parameters:
    ///   - slot: whose it was.
    ///   - behind: how many frames were sent to the slot after it, and wait still.
    mutating func collapsed(_ slot: Int, behind: Int) {
        guard var lane = lanes[slot], lane.writing.count > behind else { return }
        if let frame = lane.writing.remove(at: lane.writing.count - 1 - behind) {
            dropped(frame, isCollapsed: true)
        }
        count -= 1
        put(lane, slot)
    }

    /// A frame will not be sent, because it gave way to others.
    mutating func dropped(_ frame: Frame, isCollapsed: Bool) {
        for target in frame.targets {
            call(frame.tally, if: frame.tally.dropped(target, isCollapsed: isCollapsed))
        }
    }

    /// A frame that was kept for a session will not be sent.
    mutating func lost(_ frame: Frame) {
        for target in frame.targets { call(frame.tally, if: frame.tally.lost(target)) }
    }

    mutating func call(_ tally: DeliveryTally, if isCalled: Bool) {
        if isCalled { called.append(tally) }
    }

    /// The tallies that have news, each once since it was fetched last.
    mutating func takeCalled() -> [DeliveryTally] {
        guard !called.isEmpty else { return [] }
        defer { called.removeAll(keepingCapacity: true) }
        return called
    }

    /// Drops acknowledgements that nobody waits for any more. Frames that are still to be written stay: the order
    /// tells which is which.
    private mutating func sweep() {
        for (slot, var lane) in lanes {
            let before = lane.acking.count
            lane.acking.removeAll { $0.tally.isOver }
            count -= before - lane.acking.count
            put(lane, slot)
        }
        sweepsAt = Swift.max(Self.sweepsAtLeast, count * 2)
    }

    private mutating func put(_ lane: Lane, _ slot: Int) { lanes[slot] = lane.isEmpty ? nil : lane }
}

extension AwaitedFrames.Frame {
    fileprivate var targets: [Int] { others.isEmpty ? [target] : [target] + others }
}
