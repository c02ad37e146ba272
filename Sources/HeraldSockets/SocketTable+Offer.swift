/// Frames that give way where a socket reads too slowly (`FramePolicy`). Others never come here.
///
/// A newer frame goes behind all that waits and the one whose place it takes is removed, so that no frame passes one
/// that was sent before it. Left in the place of the older, it would arrive before what was sent between the two.
extension SocketTable {
    /// Queues a frame as its policy says.
    ///
    /// One that is droppable is left out when it would fill more than half of the socket's queue, or when anything
    /// waits there while half of the node's budget is used; so the other halves are for what has to arrive. One that
    /// takes the place of an older one is left out only when the queue is full.
    ///
    /// - Parameters: as of `send`.
    /// - Returns: what became of it so far, and of the one before it.
    public mutating func offer(
        _ frame: borrowing OutboundFrame,
        to id: SocketID,
        isFollowed: Bool = false
    ) -> OfferOutcome {
        guard let index = openSlot(id) else { return .gone }
        if frame.bytes.isDroppable, !hasRoom(frame, index) {
            // What the kernel takes now does not wait.
            flush(index)
            guard slot(index).pointee.lifecycle == .open else { return .gone }
            guard hasRoom(frame, index) else {
                counters.framesDropped += 1
                return .dropped
            }
        }
        let replacement = collapse(frame, index)
        switch send(frame, to: id, isFollowed: isFollowed) {
        case .queued: return .queued(replacement)
        case .overflowed: return .overflowed
        case .gone: return .gone
        }
    }

    private func hasRoom(_ frame: borrowing OutboundFrame, _ index: Int) -> Bool {
        let bytes = frame.byteCount + SendQueue.frameOverheadBytes
        let waiting = slot(index).pointee.queue.heldBytes
        if waiting == 0 { return bytes <= limits.sendQueueBytesMax }
        if let place = older(frame, index) {
            return waiting - slot(index).pointee.queue.heldBytes(at: place) + bytes
                <= limits.sendQueueBytesMax
        }
        return !isBudgetHalfUsed && waiting + bytes <= limits.sendQueueBytesMax / 2
    }

    /// Where the frame waits whose place this one takes.
    private func older(_ frame: borrowing OutboundFrame, _ index: Int) -> Int? {
        guard let collapse = frame.policy.collapse else { return nil }
        return slot(index).pointee.queue.place(of: collapse, keeping: tls?.pendingBytes(index) ?? 0)
    }

    private mutating func collapse(
        _ frame: borrowing OutboundFrame,
        _ index: Int
    ) -> OfferOutcome.Replacement {
        guard let place = older(frame, index) else { return .nothing }
        queuedBytes -= slot(index).pointee.queue.heldBytes
        let replacement = slot(index).pointee.queue.remove(at: place)
        queuedBytes += slot(index).pointee.queue.heldBytes
        counters.framesCollapsed += 1
        return replacement
    }
}
