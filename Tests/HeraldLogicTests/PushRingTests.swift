import HeraldCore
import Testing

@testable import HeraldLogic

struct PushRingTests {
    @Test func `records are found by consecutive numbers until newer ones push them out`() throws {
        var ring = PushRing(first: 1000, countMax: 100, bytesMax: .max)
        for number in 0..<250 {
            #expect(ring.nextNumber == 1000 + UInt64(number))
            ring.append(try record("p\(number)"))
        }
        #expect(ring.count == 100)
        #expect(ring[1149] == nil && ring[1250] == nil && ring[999] == nil)
        for number in 150..<250 { #expect(ring[UInt64(1000 + number)]?.push.id.description == "p\(number)") }
        #expect(ring.takeEvicted() == (1000..<1150).map { UInt64($0) })
        #expect(ring.takeEvicted().isEmpty)
    }

    @Test func `a record is found by its push's id, the newest of several`() throws {
        var ring = PushRing(first: 1000, countMax: 100, bytesMax: .max)
        for number in 0..<250 { ring.append(number % 7 == 3 ? nil : try record("p\(number % 200)")) }
        for number in 150..<250 where number % 7 != 3 {
            #expect(ring.number(of: try PushID("p\(number % 200)")) == UInt64(1000 + number))
        }
        #expect(ring.number(of: try PushID("p149")) == nil)
        ring.append(try record("p249"))
        ring.append(try record("p249"))
        #expect(ring.number(of: try PushID("p249")) == 1251)
        #expect(ring.number(of: try PushID("p150")) == nil)
        #expect(ring.number(of: try PushID("other")) == nil)
    }

    @Test func `a gap has a number and no record`() throws {
        var ring = PushRing(first: 5, countMax: 2, bytesMax: .max)
        ring.append(nil)
        ring.append(try record("a"))
        #expect(ring[5] == nil && !ring.holds(5) && ring.contains(5))
        #expect(ring.holds(6))
        ring.append(nil)
        #expect(ring.takeEvicted().isEmpty)
        ring.append(nil)
        #expect(ring.takeEvicted() == [6])
        #expect(ring.bytes == 0)
    }

    @Test func `bytes bound it as well, and it keeps at least the newest`() throws {
        let each = try record("a", payload: 400).bytes + 400
        var ring = PushRing(first: 0, countMax: 1000, bytesMax: 3 * each)
        for number in 0..<10 { ring.append(try record("\(number)", payload: 400)) }
        #expect(ring.count == 3)
        #expect(ring.bytes == 3 * each)
        ring.append(try record("big", payload: 100 * each))
        #expect(ring.count == 1)
        #expect(ring[10]?.push.id.description == "big")
    }

    @Test func `payloads go before their records`() throws {
        var ring = PushRing(first: 0, countMax: 1000, bytesMax: .max)
        for second in 0..<5 { ring.append(try record("\(second)", payload: 400, at: .seconds(second))) }
        ring.append(nil)
        let before = ring.bytes
        ring.dropPayloads(before: .seconds(2), at: .seconds(5))
        ring.dropPayloads(before: .seconds(2), at: .seconds(5))
        #expect(ring.bytes == before - 800)
        #expect(
            (0..<5).map { ring[UInt64($0)]?.push.message.payload == nil } == [
                true, true, false, false, false,
            ]
        )
        ring.dropPayloads(before: .seconds(100), at: .seconds(103))
        #expect(ring.bytes == before - 2000)
        for _ in 0..<5 { ring.append(try record("x", payload: 10, at: .seconds(200))) }
        ring.dropPayloads(before: .seconds(300), at: .seconds(303))
        #expect(ring[8]?.push.message.payload == nil)
    }

    @Test func `a payload stays for the push's own deadline, and holds no other one up`() throws {
        var ring = PushRing(first: 0, countMax: 1000, bytesMax: .max)
        var patient = try record("patient", payload: 400)
        patient.push.deadline = .seconds(10)
        ring.append(patient)
        ring.append(try record("usual", payload: 400))
        ring.dropPayloads(before: .seconds(1), at: .seconds(4))
        #expect(ring[0]?.push.message.payload != nil)
        #expect(ring[1]?.push.message.payload == nil)
        var late = PushRing(first: 0, countMax: 1000, bytesMax: .max)
        late.append(patient)
        late.dropPayloads(before: .seconds(7), at: .seconds(10))
        #expect(late[0]?.push.message.payload == nil)
    }

    private func record(_ id: String, payload: Int = 0, at accepted: Duration = .zero) throws -> PushRecord {
        let bytes = payload == 0 ? nil : [UInt8](repeating: 0x31, count: payload)
        let push = try push(id, to: .everyone, payload: bytes)
        return PushRecord(
            push: push,
            accepted: accepted,
            lookedUp: accepted,
            sent: accepted,
            answer: PushAnswer(id: push.id, verdicts: [])
        )
    }
}
