import Testing

@testable import HeraldLogic

struct MomentHeapTests {
    @Test func `what is due comes earliest first, whatever the order in which it came`() {
        var heap = MomentHeap()
        // A permutation of 0 ..< 101 with many inversions.
        for number in 0..<101 { heap.insert(UInt64(number * 37 % 101), at: .seconds(number * 37 % 101)) }
        #expect(heap.takeDue(at: .seconds(-1)) == nil)
        var due: [UInt64] = []
        while let number = heap.takeDue(at: .seconds(60)) { due.append(number) }
        #expect(due == (0...60).map(UInt64.init))
        #expect(heap.first?.number == 61)
        #expect(heap.count == 40)
    }

    @Test func `moments that are the same are all due`() {
        var heap = MomentHeap()
        for number in [3, 1, 2] as [UInt64] { heap.insert(number, at: .zero) }
        var due: Set<UInt64> = []
        while let number = heap.takeDue(at: .zero) { due.insert(number) }
        #expect(due == [1, 2, 3])
        heap.removeFirst()
        #expect(heap.count == 0)
    }
}
