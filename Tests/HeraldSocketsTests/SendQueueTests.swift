import Glibc
import Testing

@testable import HeraldSockets

@Suite struct SendQueueTests {
    private func waiting(_ queue: borrowing SendQueue, vectors: Int = 8) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: vectors) { buffer in
            let (count, bytes) = queue.gather(into: buffer)
            let gathered = buffer.prefix(count).flatMap {
                Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
            }
            #expect(gathered.count == bytes)
            return gathered
        }
    }

    private func frame(_ bytes: [UInt8]) -> OutboundFrame { .raw(bytes) }

    @Test func `frames come out as they went in, in any portions`() {
        var random = SplitMix(state: 7)
        var queue = SendQueue()
        var expected: [UInt8] = []
        for step in 0..<2000 {
            if random.next() % 3 > 0 {
                let bytes = (0..<Int(random.next() % 9 + 1)).map { _ in UInt8(truncatingIfNeeded: step) }
                queue.append(frame(bytes))
                expected += bytes
            } else {
                let gathered = waiting(queue)
                #expect(gathered == Array(expected.prefix(gathered.count)))
                let taken = Int(random.next() % UInt64(gathered.count + 1))
                queue.consume(taken)
                expected.removeFirst(taken)
            }
            let (count, isEmpty) = (queue.byteCount, queue.isEmpty)
            #expect(count == expected.count)
            #expect(isEmpty == expected.isEmpty)
        }
        while !queue.isEmpty { queue.consume(waiting(queue).count) }
        let held = queue.heldBytes
        #expect(held == 0)
    }

    @Test func `no more vectors are filled than there are`() {
        var queue = SendQueue()
        for value in 0..<10 { queue.append(frame([UInt8(value)])) }
        #expect(waiting(queue, vectors: 1) == [0])
        #expect(waiting(queue, vectors: 3) == [0, 1, 2])
    }

    @Test func `dropping keeps the frame that has begun`() {
        var queue = SendQueue()
        for value in 0..<5 { queue.append(frame([UInt8(value), UInt8(value)])) }
        queue.consume(3)
        queue.removeUnstarted()
        #expect(waiting(queue) == [1])
        let left = queue.byteCount
        #expect(left == 1)
        queue.append(frame([9]))
        #expect(waiting(queue) == [1, 9])
    }

    @Test func `dropping takes everything when nothing has begun`() {
        var queue = SendQueue()
        for value in 0..<5 { queue.append(frame([UInt8(value)])) }
        queue.removeUnstarted()
        let (isEmpty, held) = (queue.isEmpty, queue.heldBytes)
        #expect(isEmpty)
        #expect(held == 0)
    }

    @Test(arguments: [(0, 0), (1, 2), (2, 2), (3, 4), (5, 6), (6, 6), (10, 10)])
    func `dropping keeps every frame of which something is as good as sent`(kept: Int, left: Int) {
        var queue = SendQueue()
        for value in 0..<5 { queue.append(frame([UInt8(value), UInt8(value)])) }
        queue.removeUnstarted(keeping: kept)
        let (bytes, count) = (queue.byteCount, queue.count)
        #expect(bytes == left && count == left / 2)
        queue.append(frame([9]))
        #expect(waiting(queue).last == 9)
    }

    @Test func `a tiny frame counts for what it holds`() {
        var queue = SendQueue()
        for _ in 0..<10 { queue.append(frame([1])) }
        let held = queue.heldBytes
        #expect(held == 10 * (1 + SendQueue.frameOverheadBytes))
    }

    @Test func `a frame is held whole until it is wholly sent`() {
        var queue = SendQueue()
        queue.append(frame([UInt8](repeating: 1, count: 1000)))
        queue.append(frame([2]))
        let whole = 1001 + 2 * SendQueue.frameOverheadBytes
        queue.consume(999)
        let (begun, unsent) = (queue.heldBytes, queue.byteCount)
        #expect(begun == whole && unsent == 2)
        queue.removeUnstarted()
        let kept = queue.heldBytes
        #expect(kept == 1000 + SendQueue.frameOverheadBytes)
        queue.consume(1)
        let left = queue.heldBytes
        #expect(left == 0)
    }

    @Test func `frames are let go as they are sent, and with the queue`() {
        weak var first: FrameBytes?
        weak var second: FrameBytes?
        do {
            var queue = SendQueue()
            let (a, b) = (frame([1]), frame([2]))
            (first, second) = (a.bytes, b.bytes)
            queue.append(a)
            queue.append(b)
            queue.append(frame([3]))
            queue.consume(1)
        }
        #expect(first == nil)
        #expect(second == nil)
    }
}

@Suite struct OutboundFrameTests {
    private func bytes(_ frame: OutboundFrame) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: frame.bytes.base, count: frame.bytes.count))
    }

    @Test func `lengths take their shortest form`() {
        #expect(bytes(.text("hi")) == [0x81, 2, 0x68, 0x69])
        #expect(bytes(.binary([UInt8]())) == [0x82, 0])
        #expect(bytes(.binary([UInt8](repeating: 1, count: 125))).prefix(2) == [0x82, 125])
        #expect(bytes(.binary([UInt8](repeating: 1, count: 126))).prefix(4) == [0x82, 126, 0, 126])
        #expect(bytes(.binary([UInt8](repeating: 1, count: 65_535))).prefix(4) == [0x82, 126, 255, 255])
        let long = bytes(.binary([UInt8](repeating: 1, count: 65_536)))
        #expect(long.prefix(10) == [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])
        #expect(long.count == 65_546)
    }

    @Test func `a message is written straight into its place`() {
        let frame = OutboundFrame.message(.text, payloadBytes: 3) { span in
            for index in 0..<span.byteCount {
                span.storeBytes(of: UInt8(0x61 + index), toByteOffset: index, as: UInt8.self)
            }
        }
        #expect(bytes(frame) == [0x81, 3, 0x61, 0x62, 0x63])
        #expect(frame.byteCount == 5)
    }

    @Test(arguments: [(0, "[]<>"), (1, "<[]>"), (2, "<>[]")])
    func `a text goes into another where it belongs`(place: Int, whole: String) {
        let policy = FramePolicy(collapse: CollapseID("a"))
        let frame = OutboundFrame.text(
            Array("<>".utf8),
            enclosing: Array("[]".utf8),
            at: place,
            policy: policy
        )
        #expect(bytes(frame) == [0x81, 4] + whole.utf8)
        #expect(frame.policy == policy)
        #expect(bytes(.text(Array("<>".utf8), enclosing: [], at: place)) == [0x81, 2, 0x3C, 0x3E])
    }

    @Test func `a close reason is cut between characters and never too long`() {
        let frame = bytes(.close(code: 4001, reason: String(repeating: "€", count: 60)))
        #expect(frame.count == 2 + 2 + 41 * 3)
        #expect(frame.prefix(4) == [0x88, 125, 0x0F, 0xA1])
        #expect(String(validating: frame.dropFirst(4), as: UTF8.self) != nil)
    }
}
