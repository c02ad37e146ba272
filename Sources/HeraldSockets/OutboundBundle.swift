/// Several messages as one piece of bytes, joined once and shared by every socket that gets all of them.
///
/// A socket's queue takes one reference for it and the kernel one buffer, so what a message costs is little more than
/// its bytes: 0.11 µs of CPU a message at some 50 in a bundle, where a call of `send` for each costs 4 to 6
/// (shared/bench). The alternative is `sendmsg` with a vector for each message, which the queue does anyway with what
/// was queued singly: there each message costs each socket a place in the queue, a reference and a vector.
public struct OutboundBundle: Sendable {
    /// The messages, oldest first; never empty.
    public let frames: [OutboundFrame]
    /// The bytes of all.
    let joined: OutboundFrame

    /// Messages and bytes of one bundle. Copying 64 KiB takes as long as a call; more would gain nothing and make
    /// bundles that outlive their turn in a slow socket's queue large.
    static let framesMax = 64
    static let bytesMax = 64 * 1024

    /// Joins messages to as few bundles as the bounds allow. One that alone is larger becomes a bundle of its own,
    /// and a bundle of one message copies nothing.
    public static func joining(_ frames: [OutboundFrame]) -> [OutboundBundle] {
        var bundles: [OutboundBundle] = []
        var start = 0
        var bytes = 0
        for (index, frame) in frames.enumerated() {
            if index > start, index - start == framesMax || bytes + frame.byteCount > bytesMax {
                bundles.append(OutboundBundle(frames[start..<index], bytes: bytes))
                start = index
                bytes = 0
            }
            bytes += frame.byteCount
        }
        if start < frames.count { bundles.append(OutboundBundle(frames[start...], bytes: bytes)) }
        return bundles
    }

    private init(_ frames: ArraySlice<OutboundFrame>, bytes count: Int) {
        self.frames = Array(frames)
        if frames.count == 1 {
            joined = self.frames[0]
            return
        }
        let bytes = FrameBytes.make(count: count)
        var offset = 0
        for frame in frames {
            (bytes.base + offset).copyMemory(from: frame.bytes.base, byteCount: frame.byteCount)
            offset += frame.byteCount
        }
        joined = OutboundFrame(bytes: bytes)
    }
}

extension SocketTable {
    /// Queues all messages of a bundle as one.
    ///
    /// - Returns: nil when they have to be sent one by one: the socket compresses, or is behind, or its queue has
    ///   no room for all of them. Nothing was queued then.
    public mutating func send(_ bundle: borrowing OutboundBundle, to id: SocketID) -> SendOutcome? {
        guard let index = openSlot(id) else { return .gone }
        let held = slot(index).pointee.queue.heldBytes + bundle.joined.byteCount
        guard !slot(index).pointee.deflate.isOn, !slot(index).pointee.flags.contains(.isBlocked),
            held + SendQueue.frameOverheadBytes <= limits.sendQueueBytesMax
        else { return nil }
        enqueue(bundle.joined, index, messages: bundle.frames.count)
        return .queued
    }
}
