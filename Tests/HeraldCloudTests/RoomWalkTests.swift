import HeraldCore
import HeraldSockets
import Testing

@testable import HeraldCloud

struct RoomWalkTests {
    @Test func `a message alone comes by everybody once, from the last to the first`() {
        var walk = Walk(members: 5)
        walk.append(2)
        #expect(walk.step(3) == [[4, 2], [3, 2], [2, 2]])
        #expect(walk.step(3) == [[1, 2], [0, 2]])
        #expect(walk.step(3) == nil)
        #expect(walk.ended == [2])
    }

    @Test func `a message that comes later gets on where the cursor is and off when it is there again`() {
        var walk = Walk(members: 4)
        walk.append(2)
        #expect(walk.step(1) == [[3, 2]])
        walk.append(4)
        #expect(walk.step(2) == [[2, 2, 4], [1, 2, 4]])
        walk.append(6)
        #expect(walk.step(9) == [[0, 2, 4, 6]])
        #expect(walk.step(9) == [[3, 4, 6]])
        #expect(walk.ended == [2])
        #expect(walk.step(9) == [[2, 6], [1, 6]])
        #expect(walk.step(9) == nil)
        #expect(walk.ended == [2, 4, 6])
        // The next one begins at the end again.
        walk.append(8)
        #expect(walk.step(9)?.count == 4)
    }

    @Test func `at the end of a lap a message gets on for a whole one`() {
        var walk = Walk(members: 2)
        walk.append(2)
        #expect(walk.step(9) == [[1, 2], [0, 2]])
        walk.append(4)
        #expect(walk.step(9) == [[1, 4], [0, 4]])
        #expect(walk.step(9) == nil)
        #expect(walk.ended == [2, 4])
    }

    @Test func `when the last member has left everything gets off`() {
        var walk = Walk(members: 3)
        walk.append(2)
        _ = walk.step(1)
        walk.append(4)
        walk.members = []
        #expect(walk.step(9) == nil)
        #expect(walk.ended == [2, 4])
    }

    @Test func `what is followed is not joined`() throws {
        var walk = RoomWalk()
        walk.append(Walk.message(2), count: 3)
        walk.append(Walk.message(4), count: 3)
        #expect(walk.joined()?.map(\.frames.count) == [2])
        let query = ReceiptQuery(ticket: 1, confirm: .written, patience: .seconds(1))
        let tally = DeliveryTally(
            query,
            push: PushID(fixed: "p"),
            targets: 1,
            sender: "logic-1",
            loops: 1,
            at: Moment(milliseconds: 0)
        )
        walk.append(RoomWalk.Message(number: 6, part: Walk.message(6).part, tally: tally), count: 3)
        #expect(walk.joined() == nil)
        while let range = walk.step(atMost: 3), range.lowerBound > 0 {}
        #expect(walk.popEnded(count: 0)?.number == 2)
        #expect(walk.popEnded(count: 0)?.number == 4)
        #expect(walk.popEnded(count: 0)?.tally === tally)
        walk.append(Walk.message(8), count: 3)
        #expect(walk.joined()?.map(\.frames.count) == [1])
    }

    /// Members come and go at random. Each remembers the last number that it was given, as a seat does; whoever is
    /// moved into the place of one that left is visited out of turn.
    @Test(arguments: 1...200)
    func `whoever stays is visited between the getting on and the getting off`(seed: Int) {
        var dice = Dice(seed: UInt64(seed))
        var walk = Walk(members: Int(dice.next() % 12))
        var names = walk.members.count
        /// By message that is on: the members from when it got on.
        var owed: [UInt64: Set<Int>] = [:]
        var number: UInt64 = 0
        for _ in 0..<400 {
            switch dice.next() % 8 {
            case 0, 1:
                number += 2
                owed[number] = Set(walk.members)
                walk.append(number)
            case 2:
                walk.members.append(names)
                names += 1
            case 3 where !walk.members.isEmpty:
                let place = Int(dice.next() % UInt64(walk.members.count))
                let gone = walk.members[place]
                for number in owed.keys { owed[number]?.remove(gone) }
                walk.leave(place)
            default:
                walk.catchUpMoved()
                for visit in walk.step(Int(dice.next() % 5) + 1) ?? [] {
                    walk.give(Int(visit[0]), visit.dropFirst())
                }
            }
            for number in walk.ended {
                for name in owed.removeValue(forKey: number) ?? [] {
                    #expect(walk.got[name, default: []].contains(number), "seed \(seed)")
                }
            }
            walk.ended = []
        }
        for numbers in walk.got.values { #expect(zip(numbers, numbers.dropFirst()).allSatisfy(<)) }
    }
}

/// A walk with its members, by name.
private struct Walk {
    var walk = RoomWalk()
    var members: [Int]
    var ended: [UInt64] = []
    var moved: [Int] = []
    var got: [Int: [UInt64]] = [:]

    init(members count: Int) { members = Array(0..<count) }

    static func message(_ number: UInt64) -> RoomWalk.Message {
        RoomWalk.Message(
            number: number,
            part: DeliveryBatch.Part(target: .everyone, frame: .text("\(number)"), number: 0, place: 0)
        )
    }

    mutating func append(_ number: UInt64) { walk.append(Self.message(number), count: members.count) }

    /// - Returns: for each visit the member and the messages that are on; nil when none is.
    mutating func step(_ limit: Int) -> [[UInt64]]? {
        while let message = walk.popEnded(count: members.count) { ended.append(message.number) }
        guard let range = walk.step(atMost: limit) else { return nil }
        return range.reversed().map { [UInt64(members[$0])] + walk.messages.map(\.number) }
    }

    mutating func leave(_ place: Int) {
        let last = members.removeLast()
        guard place < members.count else { return }
        members[place] = last
        moved.append(last)
    }

    mutating func catchUpMoved() {
        for name in moved { give(name, walk.messages.map(\.number)[...]) }
        moved = []
    }

    mutating func give(_ name: Int, _ numbers: ArraySlice<UInt64>) {
        let last = got[name]?.last ?? 0
        got[name, default: []] += numbers.filter { $0 > last }
    }
}
