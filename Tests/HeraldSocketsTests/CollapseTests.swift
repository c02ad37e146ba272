import Glibc
import Testing

@testable import HeraldSockets

/// Frames that are taken out of the middle of a queue.
@Suite struct CollapseTests {
    private func frame(_ bytes: [UInt8], _ key: String? = nil) -> OutboundFrame {
        .text(bytes, policy: FramePolicy(collapse: key.map { CollapseID($0) }))
    }

    private func waiting(_ queue: borrowing SendQueue) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: 4096) { buffer in
            let (count, _) = queue.gather(into: buffer)
            return buffer.prefix(count).flatMap {
                Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
            }
        }
    }

    /// A queue as a list: what `SendQueue` does with marks and a ring has to be the same as this.
    private struct Model {
        struct Waiting {
            var bytes: [UInt8]
            var key: String?
            var isFollowed: Bool
        }
        var frames: [Waiting] = []
        var firstSent = 0

        var bytes: [UInt8] { Array(frames.flatMap(\.bytes).dropFirst(firstSent)) }

        /// - Returns: the receipts that came up.
        mutating func consume(_ count: Int) -> Int {
            var left = count + firstSent
            var receipts = 0
            while let first = frames.first, left >= first.bytes.count {
                left -= first.bytes.count
                if first.isFollowed { receipts += 1 }
                frames.removeFirst()
            }
            firstSent = left
            return receipts
        }

        mutating func replace(_ key: String, keeping kept: Int) -> OfferOutcome.Replacement? {
            var before = -firstSent
            var found: Int?
            for (place, frame) in frames.enumerated() {
                if frame.key == key, before >= kept { found = place }
                before += frame.bytes.count
            }
            guard let found else { return nil }
            let behind = frames[(found + 1)...].count { $0.isFollowed }
            return frames.remove(at: found).isFollowed ? .followed(behind: behind) : .unfollowed
        }
    }

    @Test(arguments: 1...20)
    func `a queue does what a list would`(seed: Int) {
        var random = SplitMix(state: UInt64(seed))
        var queue = SendQueue()
        var model = Model()
        for step in 0..<3000 {
            // Times of filling and of draining, so that the ring grows, turns and ends.
            let isFilling = step / 200 % 3 < 2
            if random.next() % 4 < (isFilling ? 3 : 1) {
                let key: String? = random.next() % 2 == 0 ? "key \(random.next() % 40)" : nil
                let kept = random.next() % 8 == 0 ? min(Int(random.next() % 20), queue.byteCount) : 0
                if let key {
                    let place = queue.place(of: CollapseID(key), keeping: kept)
                    let freed = place.map { queue.heldBytes(at: $0) } ?? 0
                    let held = queue.heldBytes
                    let replaced = place.map { queue.remove(at: $0) }
                    #expect(replaced == model.replace(key, keeping: kept))
                    let left = queue.heldBytes
                    #expect(left == held - freed)
                }
                let payload = [UInt8](
                    repeating: UInt8(truncatingIfNeeded: step),
                    count: Int(random.next() % 6)
                )
                let frame = frame(payload, key)
                let isFollowed = random.next() % 3 == 0
                queue.append(frame)
                if isFollowed { queue.append(.receipt) }
                let bytes = [0x81, UInt8(payload.count)] + payload
                model.frames.append(.init(bytes: bytes, key: key, isFollowed: isFollowed))
            } else {
                let taken = Int(random.next() % UInt64(min(queue.byteCount, 40) + 1))
                let receipts = queue.consume(taken)
                #expect(receipts == model.consume(taken))
            }
            let count = queue.byteCount
            #expect(count == model.bytes.count)
        }
        #expect(waiting(queue) == model.bytes)
        _ = queue.consume(queue.byteCount)
        let held = queue.heldBytes
        #expect(held == 0)
    }

    @Test func `what has begun is not replaced, and neither is what was encrypted`() {
        var queue = SendQueue()
        queue.append(frame([1], "a"))
        #expect(queue.place(of: CollapseID("a")) == 0)
        #expect(queue.place(of: CollapseID("a"), keeping: 1) == nil)
        queue.consume(1)
        #expect(queue.place(of: CollapseID("a")) == nil)
        queue.append(frame([2], "a"))
        #expect(queue.place(of: CollapseID("a")) == 1)
        // Two bytes of the first are left, three of the second.
        #expect(queue.place(of: CollapseID("a"), keeping: 2) == 1)
        #expect(queue.place(of: CollapseID("a"), keeping: 3) == nil)
        #expect(queue.place(of: CollapseID("b")) == nil)
    }

    @Test func `frames are let go as they are replaced`() {
        weak var replaced: FrameBytes?
        var queue = SendQueue()
        do {
            queue.append(frame([0]))
            let old = frame([1], "a")
            replaced = old.bytes
            queue.append(old)
        }
        #expect(replaced != nil)
        _ = queue.place(of: CollapseID("a")).map { queue.remove(at: $0) }
        #expect(replaced == nil)
        #expect(waiting(queue) == [0x81, 1, 0])
    }

    @Test func `a socket pays nothing for it, and a plain frame nothing either`() {
        #expect(MemoryLayout<SendQueue>.size <= 32)
        let plain = OutboundFrame.text([1, 2, 3])
        #expect(!plain.hasPolicy && plain.bytes.collapse == 0)
        let policy = FramePolicy(collapse: CollapseID("a"), isDroppable: true)
        let frame = OutboundFrame.text([1, 2, 3], policy: policy)
        #expect(frame.hasPolicy && frame.policy == policy)
        #expect(frame.byteCount == plain.byteCount && frame.bytes.payload.elementsEqual([1, 2, 3]))
    }
}
