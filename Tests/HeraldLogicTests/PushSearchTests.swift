import HeraldCore
import Testing

@testable import HeraldLogic

/// Nodes that do not listen and routes that are stale, as transcripts.
struct PushSearchTests {
    private let all = Reach(connections: 1, written: 1)

    @Test func `a node that does not listen is asked again for 400 ms, and the push is not sent twice`()
        throws
    {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(desk.told == [])
        var moments: [Duration] = []
        while desk.told.isEmpty, let moment = desk.nextMoment() {
            moments.append(moment)
            #expect(
                try desk.search(found: [["cloud-1#7"]], missed: ["cloud-1"], at: moment) == ["cloud-1:"]
            )
        }
        #expect(moments == [0, 25, 75, 175, 375].map { .milliseconds($0) })
        #expect(desk.told == ["a unreachable not cloud-1"])
        let reason = desk.answers["a"]?.verdicts[0].reason
        #expect(reason == "nobody listened on the channel of cloud-1, asked 6 times")
        #expect(desk.isIdle)
    }

    @Test func `a node that listens again reads the push from its hop`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [["cloud-1#7"]], missed: ["cloud-1"], at: .zero) == ["cloud-1:"])
        #expect(desk.nextMoment() == .milliseconds(25))
        #expect(try desk.search(found: [["cloud-1#7"]], at: .milliseconds(25)) == ["cloud-1:"])
        #expect(desk.told == ["a routed cloud-1"])
        #expect(desk.isIdle)
    }

    @Test func `a target that moved is sent there once`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [["cloud-2#3"]], at: .zero) == ["cloud-2: a"])
        #expect(desk.told == ["a routed cloud-2"])
        #expect(desk.counters.sentOnward == 1)
    }

    @Test func `a node that was restarted is another one`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [["cloud-1#8"]], at: .zero) == ["cloud-1: a"])
        #expect(desk.told == ["a routed cloud-1"])
    }

    @Test func `a push that failed is not searched for, whatever a node said before`() throws {
        let desk = FollowDesk()
        try desk.fail(push("a", to: .user("alice")), found: [["cloud-1#7"]]) { number in
            try desk.receive("cloud-1", number, nil)
            #expect(!desk.isIdle)
        }
        #expect(desk.isIdle)
    }

    @Test func `a target that left is offline`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [[]], at: .zero) == [])
        #expect(desk.told == ["a offline"])
    }

    @Test func `nodes that took it are not sent it again`() throws {
        let desk = FollowDesk()
        try desk.send(
            push("a", to: .room("news")),
            found: [["cloud-1#7", "cloud-2#3"]],
            missed: ["cloud-2"]
        )
        let sent = try desk.search(found: [["cloud-1#7", "cloud-3#4"]], missed: [], at: .zero)
        #expect(sent == ["cloud-3: a"])
        #expect(desk.told == ["a routed cloud-1,cloud-3"])
    }

    @Test func `a stale route is followed after the answer, once, and the story says so`() throws {
        let desk = FollowDesk()
        let a = try desk.send(
            push("a", to: .user("alice"), .user("bob")),
            found: [["cloud-1#7"], ["cloud-1#7"]]
        )
        #expect(desk.told == ["a routed cloud-1 routed cloud-1"])
        let ticket = a * 64
        let stale = Receipt(ticket: ticket, target: 1, reach: nil, isFinal: true)
        desk.receiveOne(stale, from: try NodeID("cloud-1"), at: .milliseconds(10))
        #expect(desk.nextMoment() == .milliseconds(10))
        #expect(try desk.search(found: [["cloud-2#3"]], at: .milliseconds(10)) == ["cloud-2: a"])
        #expect(desk.told.count == 1)
        #expect(desk.isIdle)
        // It was the wrong place again: back where it was not, so there is nowhere to go.
        try desk.receive("cloud-2", a, nil, round: 1, at: .milliseconds(20))
        #expect(try desk.search(found: [["cloud-1#7"]], at: .milliseconds(20)) == [])
        let story = try #require(try desk.story("a", at: .milliseconds(30)))
        #expect(story.targets[0].verdict.verdict == .routed)
        #expect(story.targets[1].verdict.verdict == .offline)
        #expect(story.targets[1].told == .routed)
        let nodes = story.targets[1].steps.compactMap { step in
            if case .sent(let node, _) = step.event { node.description } else { nil }
        }
        #expect(nodes == ["cloud-1", "cloud-2"])
    }

    @Test func `a stale route that still stands is looked at for a while`() throws {
        let desk = FollowDesk()
        let a = try desk.send(push("a", to: .key("alice/phone")), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, nil, at: .milliseconds(5))
        var looks = 0
        while let moment = desk.nextMoment(), looks < 20 {
            looks += 1
            #expect(try desk.search(found: [["cloud-1#7"]], at: moment) == [])
        }
        #expect(looks == 5)
        #expect(desk.isIdle)
    }

    @Test func `a room that nobody is in on a node is not followed`() throws {
        let desk = FollowDesk()
        let a = try desk.send(push("a", to: .room("news"), .everyone), found: [["cloud-1#7"], ["cloud-1#7"]])
        try desk.receive("cloud-1", a, nil, nil)
        #expect(desk.isIdle)
    }

    @Test func `a push that is too long ago is not followed, for its payload is gone`() throws {
        let desk = FollowDesk()
        let a = try desk.send(push("a", to: .user("alice"), payload: [0x31]), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, nil, at: .seconds(3))
        #expect(desk.isIdle)
        #expect(desk.counters.receiptsStrange == 1)
    }

    @Test func `a written push follows its target and is answered by the last place`() throws {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]])
        try desk.receive("cloud-1", a, nil)
        #expect(desk.told == [])
        #expect(try desk.search(found: [["cloud-2#3"]], at: .zero) == ["cloud-2: a"])
        try desk.receive("cloud-2", a, all, round: 1)
        #expect(desk.told == ["a written cloud-2"])
    }

    @Test func `a written push waits for a node that is away until its deadline`() throws {
        let desk = FollowDesk()
        let a = try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]], missed: ["cloud-1"])
        while let moment = desk.nextMoment(), moment < .seconds(2) {
            #expect(try desk.search(found: [["cloud-1#7"]], missed: ["cloud-1"], at: moment) == ["cloud-1:"])
        }
        #expect(desk.told == [])
        // It is back, has read its hop, and tells.
        try desk.receive("cloud-1", a, all, at: .seconds(2))
        #expect(desk.told == ["a written cloud-1"])
        #expect(desk.isIdle)
    }

    @Test func `a written push to a node that died is offline as soon as its lease is over`() throws {
        let desk = FollowDesk()
        try desk.send(try asking(.written, "a"), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [["cloud-1#7"]], missed: ["cloud-1"], at: .zero) == ["cloud-1:"])
        #expect(try desk.search(found: [[]], at: .milliseconds(25)) == [])
        #expect(desk.told == ["a offline"])
    }

    @Test func `what the bus did not confirm is not sent a third time`() throws {
        let desk = FollowDesk()
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(try desk.search(found: [["cloud-2#3"]], confirmed: false, at: .zero) == ["cloud-2: a"])
        #expect(desk.told == ["a unreachable not cloud-2"])
        #expect(desk.answers["a"]?.verdicts[0].reason == "Redis did not confirm what was sent to cloud-2")
        #expect(desk.isIdle)
    }

    @Test func `a push that could overtake makes earlier ones be looked up first`() throws {
        let desk = FollowDesk()
        let a = try desk.send(push("a", to: .key("alice/phone")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        let b = try desk.send(push("b", to: .user("bob")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(desk.toSearch(besides: [], at: .zero) == [a, b])
        _ = try desk.search(found: [["cloud-1#7"], ["cloud-1#7"]], missed: ["cloud-1"], at: .zero)
        let soon = Duration.milliseconds(1)
        #expect(desk.toSearch(besides: [], at: soon) == [])
        #expect(desk.toSearch(besides: [try push("c", to: .user("carol"))], at: soon) == [])
        #expect(desk.toSearch(besides: [try push("c", to: .user("alice"))], at: soon) == [a])
        #expect(desk.toSearch(besides: [try push("c", to: .room("news"))], at: soon) == [a, b])
        #expect(desk.toSearch(besides: [try push("c", to: .everyone)], at: soon) == [a, b])
        // Pulled forward, it moves; the other one's pauses go on.
        let alice = try push("c", to: .user("alice"))
        #expect(try desk.search(besides: [alice], found: [["cloud-2#3"]], at: soon) == ["cloud-2: a"])
        #expect(desk.told == ["a routed cloud-2"])
        #expect(desk.nextMoment() == .milliseconds(25))
    }

    @Test func `a room that missed a node goes before every later push`() throws {
        let desk = FollowDesk()
        let a = try desk.send(push("a", to: .room("news")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(desk.toSearch(besides: [try push("b", to: .user("bob"))], at: .zero) == [a])
    }

    @Test func `many pushes to one target are one look-up, oldest first`() throws {
        let desk = FollowDesk()
        for name in ["a", "b", "c"] {
            try desk.send(push(name, to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        }
        #expect(try desk.search(found: [["cloud-2#3"]], at: .zero) == ["cloud-2: a b c"])
        #expect(desk.told == ["a", "b", "c"].map { "\($0) routed cloud-2" })
    }

    @Test func `too many to look up again are answered at once`() throws {
        var bounds = PushFollow.Bounds()
        bounds.searchingMax = 1
        let desk = FollowDesk(bounds)
        try desk.send(push("a", to: .user("alice")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        try desk.send(push("b", to: .user("bob")), found: [["cloud-1#7"]], missed: ["cloud-1"])
        #expect(desk.told == ["b unreachable not cloud-1"])
        #expect(desk.counters.searchesRefused == 1)
    }
}
