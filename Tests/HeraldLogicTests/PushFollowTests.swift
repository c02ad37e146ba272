import HeraldCore
import Testing

@testable import HeraldLogic

/// Confirmations, as transcripts: what is sent and heard, and what callers are told.
struct PushFollowTests {
    private let all = Reach(connections: 1, written: 1)

    @Test func `a push that asks for routed is answered at once`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]])
        #expect(desk.told == ["a routed cloud-1"])
        #expect(desk.isIdle)
        #expect(desk.nextMoment() == nil)
    }

    @Test func `written is told when every node has said its last word, and connections are added up`() throws
    {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.written, "a"), found: [["cloud-1#7", "cloud-2#3"]])
        #expect(desk.told == [])
        #expect(desk.nextMoment() == .seconds(3))
        try desk.receive("cloud-1", a, Reach(connections: 2, written: 1), isFinal: false)
        try desk.receive("cloud-1", a, Reach(connections: 2, written: 2))
        #expect(desk.told == [])
        try desk.receive("cloud-2", a, Reach(connections: 1, dropped: 1))
        #expect(desk.told == ["a written cloud-1,cloud-2"])
        let verdict = try #require(desk.answers["a"]?.verdicts.first)
        #expect(verdict.reach == Reach(connections: 3, written: 2, dropped: 1))
        #expect(verdict.reason == nil)
        #expect(desk.isIdle)
        #expect(desk.nextMoment() == nil)
    }

    @Test func `what comes before the bus has answered counts`() throws {
        let desk = FollowDesk()
        try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]]) { number in
            try desk.receive("cloud-1", number, all)
        }
        #expect(desk.told == ["a written cloud-1"])
        #expect(desk.counters.held == 0)
    }

    @Test func `acked is told when a client said so; else how far it came by the deadline`() throws {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.acked, "a"), found: [["cloud-1#7"]])
        let b = try desk.send(try asking(.acked, "b"), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, Reach(connections: 2, written: 2, acked: 1), isFinal: false)
        try desk.receive("cloud-1", b, Reach(connections: 2, written: 2), isFinal: false)
        desk.expire(at: .milliseconds(2999))
        #expect(desk.told == [])
        desk.expire(at: .seconds(3))
        #expect(desk.told == ["a acked cloud-1", "b written cloud-1"])
        #expect(desk.answers["a"]?.verdicts[0].reason == nil)
        #expect(
            desk.answers["b"]?.verdicts[0].reason == "2 of 2 clients that got it had not acknowledged it"
        )
    }

    @Test func `a node that does not answer in time is named`() throws {
        let desk = FollowDesk()
        let a = try desk.send(
            try asking(.written, "a", .user("x"), .user("y")),
            found: [["cloud-1#7"], ["cloud-2#3"]]
        )
        try desk.receive("cloud-1", a, all)
        desk.expire(at: .seconds(3))
        #expect(desk.told == ["a written cloud-1 unreachable cloud-2"])
        #expect(
            desk.answers["a"]?.verdicts.map(\.reason) == [
                nil, "cloud-2 did not say in time what became of it",
            ]
        )
        // What comes late corrects the story.
        try desk.receive("cloud-2", a, all, at: .seconds(4))
        #expect(desk.counters.receiptsLate == 1)
        let story = try #require(try desk.story("a"))
        #expect(story.targets[1].verdict.verdict == .written)
        #expect(story.targets[1].told == .unreachable)
        #expect(desk.told.count == 1)
    }

    @Test func `without replies nothing is claimed to be known`() throws {
        let desk = FollowDesk()
        try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]])
        desk.hearing(false, at: .seconds(1))
        desk.hearing(true, at: .seconds(2))
        try desk.send(try asking(.written, "b"), found: [["cloud-1#7"]], at: .seconds(2))
        desk.expire(at: .seconds(5))
        #expect(desk.told == ["a unreachable cloud-1", "b unreachable cloud-1"])
        #expect(
            desk.answers.mapValues { $0.verdicts[0].reason } == [
                "a": "replies to this process were cut off, so that nothing is known of cloud-1",
                "b": "cloud-1 did not say in time what became of it",
            ]
        )
    }

    @Test(
        arguments: [
            (
                Reach(connections: 2, dropped: 2), "dropped cloud-1",
                "the queues of 2 connections had no room for it"
            ),
            (
                Reach(connections: 1, dropped: 1, collapsed: 1), "dropped cloud-1",
                "a newer push with the same collapse key took its place at 1 connection"
            ),
            (
                Reach(connections: 3, dropped: 3, collapsed: 2), "dropped cloud-1",
                "the queues of 1 connection had no room for it; "
                    + "a newer push with the same collapse key took its place at 2 connections"
            ),
            (
                Reach(connections: 2, dropped: 1), "unreachable cloud-1",
                "1 connection had not taken it in time"
            ),
            (Reach(), "routed cloud-1", "all connections that are there are excluded"),
        ]
    )
    func `what was not written says why`(reach: Reach, verdict: String, reason: String) throws {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, reach)
        #expect(desk.told == ["a \(verdict)"])
        #expect(desk.answers["a"]?.verdicts[0].reason == reason)
    }

    @Test func `nobody anywhere is offline without waiting`() throws {
        let desk = FollowDesk()
        try desk.send(try asking(.acked, "a"), found: [[]])
        #expect(desk.told == ["a offline"])
    }

    @Test func `receipts of nobody's pushes, of other nodes and of other targets change nothing`() throws {
        let desk = FollowDesk(random: 77 << 32)
        let a = try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]])
        try desk.receive("cloud-2", a, all)
        try desk.receive("cloud-1", a + 5, all)
        try desk.receive("cloud-1", a &- 5, nil)
        try desk.receive("cloud-1", a, all, round: 3)
        try desk.receive("cloud-1", a, all, all, isFinal: false)
        #expect(desk.counters.receiptsStrange == 5)
        #expect(desk.told == [])
        try desk.receive("cloud-1", a, all)
        try desk.receive("cloud-1", a, Reach(connections: 9))
        #expect(desk.answers["a"]?.verdicts[0].reach == all)
        #expect(desk.told == ["a written cloud-1"])
    }

    @Test func `a deadline of its own is kept, and a caller that goes away is let go`() throws {
        let desk = FollowDesk()
        var quick = try asking(.written, "quick")
        quick.deadline = .milliseconds(80)
        try desk.send(quick, found: [["cloud-1#7"]])
        try desk.send(try asking(.written, "gone"), found: [["cloud-1#7"]])
        #expect(desk.nextMoment() == .milliseconds(80))
        #expect(desk.cancel("gone", at: .zero))
        #expect(!desk.cancel("gone", at: .zero))
        desk.expire(at: .milliseconds(80))
        #expect(desk.told == ["quick unreachable cloud-1"])
        #expect(desk.isIdle)
    }

    @Test func `whoever is held when it ends is told what is known`() throws {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.acked, "a"), found: [["cloud-1#7"]])
        try desk.send(try asking(.acked, "b"), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, all, isFinal: false)
        desk.close(at: .seconds(1))
        #expect(desk.told == ["a written cloud-1", "b unreachable cloud-1"])
        #expect(desk.isIdle)
    }

    @Test func `too many that wait are not followed, and told so`() throws {
        var bounds = PushFollow.Bounds()
        bounds.heldMax = 1
        let desk = FollowDesk(bounds)
        try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]])
        try desk.send(try asking(.written, "b"), found: [["cloud-1#7"]])
        #expect(desk.told == ["b unreachable cloud-1"])
        #expect(
            desk.answers["b"]?.verdicts[0].reason
                == "too many pushes wait for receipts; this one is not followed"
        )
        #expect(desk.counters.held == 1)
    }

    @Test func `a node has less patience than the caller, by what its last word takes`() throws {
        let desk = FollowDesk()
        let usual = try asking(.written, "a")
        #expect(desk.patience(usual, at: .milliseconds(100)) == .milliseconds(2775))
        var quick = usual
        quick.deadline = .milliseconds(100)
        #expect(desk.patience(quick, at: .milliseconds(20)) == .milliseconds(40))
        #expect(desk.patience(quick, at: .seconds(1)) == .milliseconds(1))
    }

    @Test func `what is remembered is bounded, and what is out of it is no longer known`() throws {
        var bounds = PushFollow.Bounds()
        bounds.rememberedMax = 2
        let desk = FollowDesk(bounds)
        let held = try desk.send(try asking(.written, "held"), found: [["cloud-1#7"]])
        for name in ["a", "b"] { try desk.send(push(name, to: .user("x")), found: [["cloud-1#7"]]) }
        #expect(try desk.story("held") == nil)
        #expect(try desk.story("a") != nil)
        // It is answered all the same.
        try desk.receive("cloud-1", held, all)
        #expect(desk.told.last == "held written cloud-1")
        #expect(desk.isIdle)
    }
}

/// A push to alice, or to these targets, that asks for more.
func asking(_ level: ConfirmLevel, _ event: String, _ targets: Target...) throws -> Push {
    var push = try push(event, to: .user("alice"))
    if !targets.isEmpty { push.targets = targets }
    push.confirm = level
    return push
}
