import Testing

@testable import HeraldSockets

@Suite struct SocketIDTests {
    @Test(arguments: [(0, 0, 1), (3, 77, 9), (255, 0xFF_FFFF, 0xFFFF_FFFF)])
    func `loop, slot and generation survive the packing`(loop: Int, slot: Int, generation: Int) {
        let id = SocketID(loop: loop, slot: slot, generation: UInt32(generation))
        #expect(id.loop == loop)
        #expect(id.slot == slot)
        #expect(id.generation == UInt32(generation))
    }
}
