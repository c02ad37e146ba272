import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

struct RoomListTests {
    @Test func `joins and leaves are told once, with the length`() {
        var list = RoomList(namesMax: 10)
        list.joined(alice)
        list.joined(bob)
        let first = take(&list)
        #expect(first.isAnew && Set(first.joined) == [alice, bob] && first.left == [] && first.listed == 2)
        list.confirmed(isAstray: false)
        list.left(bob)
        #expect(take(&list) == RoomTelling(members: 1, left: [bob], listed: 1))
        list.confirmed(isAstray: false)
        #expect(take(&list) == RoomTelling(members: 1, listed: 1))
    }

    @Test func `a key that is taken over on its node stays listed`() {
        var list = RoomList(namesMax: 10)
        list.joined(alice)
        list.joined(alice)
        list.left(alice)
        #expect(take(&list).joined == [alice])
        list.confirmed(isAstray: false)
        list.left(alice)
        #expect(take(&list).left == [alice])
    }

    @Test func `what failed is told again as it is by then`() {
        var list = RoomList(namesMax: 10)
        list.joined(alice)
        list.joined(bob)
        _ = take(&list)
        list.left(alice)
        list.failed()
        #expect(take(&list) == RoomTelling(members: 1, isAnew: true, joined: [bob], left: [alice], listed: 1))
    }

    @Test func `a list that is astray is begun anew, in parts, and says its length with the last`() {
        var list = RoomList(namesMax: 10)
        for number in 0..<5 { list.joined(UserKey(fixed: "user\(number)/phone")) }
        _ = take(&list)
        #expect(!list.isBehind)
        list.confirmed(isAstray: true)
        #expect(list.isBehind)
        let first = take(&list, max: 3)
        #expect(first.isAnew && first.joined.count == 3 && first.listed == nil && list.isBehind)
        list.confirmed(isAstray: false)
        let second = take(&list, max: 3)
        #expect(!second.isAnew && second.joined.count == 2 && second.listed == 5 && !list.isBehind)
        #expect(Set(first.joined + second.joined).count == 5)
    }

    @Test func `names beyond the bound are not listed, and leave without a trace`() {
        var list = RoomList(namesMax: 1)
        list.joined(alice)
        list.joined(bob)
        list.left(bob)
        #expect(take(&list) == RoomTelling(members: 1, isAnew: true, joined: [alice], listed: 1))
    }

    @Test func `while Redis is away, what comes and goes does not pile up`() {
        var list = RoomList(namesMax: 2)
        for number in 0..<100 {
            list.joined(UserKey(fixed: "user\(number)/phone"))
            list.left(UserKey(fixed: "user\(number)/phone"))
        }
        list.joined(alice)
        let told = take(&list)
        #expect(told.isAnew && told.joined == [alice] && told.left.count <= 4 && told.listed == 1)
    }

    private let alice = UserKey(fixed: "alice/phone")
    private let bob = UserKey(fixed: "bob/phone")

    private func take(_ list: inout RoomList, max: Int = 256) -> RoomTelling {
        var telling = RoomTelling(members: 1)
        list.take(max: max, into: &telling)
        return telling
    }
}

/// The lists as rooms tell of them.
struct RoomSharesListTests {
    @Test func `the first member's name goes with its share, others' within a second`() {
        var shares = Shares()
        shares.join("news", 1)
        #expect(shares.call()?[news] == RoomTelling(members: 1, isAnew: true, joined: [name(1)], listed: 1))
        shares.answer()
        shares.join("news", 2)
        #expect(shares.call() == nil)
        shares.wait(.milliseconds(1100))
        #expect(shares.call()?[news] == RoomTelling(members: 2, joined: [name(2)], listed: 2))
        shares.answer()
        shares.machine.left(news, by: name(1))
        shares.machine.left(news, by: name(2))
        #expect(shares.call()?[news] == 0)
        shares.answer()
        #expect(shares.machine.count == 0 && shares.call() == nil)
    }

    @Test func `a long list follows part by part, behind what is urgent`() {
        var shares = Shares()
        for number in 1...2000 { shares.join("news", number) }
        var told: [UserKey] = shares.call()?[news]?.joined ?? []
        shares.answer()
        shares.join("chat", 1)
        let second = shares.call()
        #expect(second?[RoomID(fixed: "chat")]?.members == 1)
        told += second?[news]?.joined ?? []
        shares.answer()
        while let call = shares.call() {
            #expect((call[news]?.joined.count ?? 0) <= RoomShares.roomNamesMax)
            told += call[news]?.joined ?? []
            shares.answer()
        }
        #expect(told.count == 2000 && Set(told).count == 2000)
    }

    @Test func `a list that is astray, or another incarnation's, is told anew`() {
        var shares = Shares()
        shares.join("news", 1)
        _ = shares.call()
        shares.answer(astray: [news])
        let whole = RoomTelling(members: 1, isAnew: true, joined: [name(1)], listed: 1)
        #expect(shares.call()?[news] == whole)
        shares.answer()
        shares.machine.leaseChanged()
        shares.wait(.milliseconds(50))
        shares.wait(.milliseconds(50))
        #expect(shares.call()?[news] == whole)
    }

    @Test func `without lists only numbers are told`() {
        var shares = Shares(listedMax: 0)
        shares.join("news", 1)
        #expect(shares.call()?[news] == 1)
    }

    private let news = RoomID(fixed: "news")

    private func name(_ number: Int) -> UserKey { UserKey(fixed: "user\(number)/phone") }

    private struct Shares {
        var machine: RoomShares
        var now = Moment(milliseconds: 1_000_000)
        var effects: [RoomShares.Effect] = []

        init(listedMax: Int = 10_000) {
            machine = RoomShares(
                patience: .seconds(5),
                listedMax: listedMax,
                walk: RenewalWalk(interval: .seconds(40), hurryPerSecond: 10_000)
            )
            wait(.zero)
        }

        mutating func join(_ room: String, _ number: Int) {
            let socket = SocketID(loop: 0, slot: number, generation: 1)
            let name = UserKey(fixed: "user\(number)/phone")
            machine.joined(RoomID(fixed: room), by: socket, as: name, at: now, &effects)
        }

        mutating func wait(_ duration: Duration) {
            now = now + duration
            machine.timePassed(to: now, isBarred: false, &effects)
        }

        mutating func call() -> [RoomID: RoomTelling]? { machine.nextCall() }

        mutating func answer(astray: Set<RoomID> = []) {
            machine.answered(isCurrent: true, astray: astray, &effects)
        }
    }
}
