import HeraldCore
import HeraldWire
import Testing

@testable import HeraldCloud

/// Conversations, as transcripts.
struct SessionTests {
    private let phone = UserKey(fixed: "alice/phone")
    private let news = RoomID(fixed: "news")

    @Test func `connect by query, bound, rooms told, live`() {
        var talk = Talk()
        #expect(
            talk.query(user: "alice", key: "phone", rooms: ["news"]) == [.claim(phone), .enter(news)]
        )
        #expect(talk.bound() == [])
        #expect(talk.joined("news") == [.goLive(phone)])
        #expect(talk.say(ClientFrame(id: 1, .ping)) == [.say(.pong(id: 1))])
    }

    @Test func `connect by frame; who gives no name gets one`() {
        var talk = Talk()
        let name = UserKey(user: UserID(anonymous: 7), key: ConnectionKey(generated: 9))
        #expect(talk.say(ClientFrame(.connect(ConnectRequest()))) == [.claim(name)])
        #expect(talk.bound() == [.goLive(name)])
    }

    @Test func `who follows an inbox is live when all else is there and the first page is read`() {
        var talk = Talk()
        let resume = ResumeRequest.after(InboxPosition(epoch: 100, offset: 5))
        let request = ConnectRequest(user: phone.user, key: phone.key, rooms: [news], resume: resume)
        #expect(talk.say(ClientFrame(.connect(request))) == [.claim(phone), .enter(news)])
        #expect(talk.bound() == [])
        #expect(talk.joined("news") == [.openInbox(resume)])
        #expect(talk.say(ClientFrame(id: 1, .ping)) == [])
        let start = InboxStart(position: InboxPosition(epoch: 100, offset: 5), isRecovered: true)
        let ping = ClientFrame(id: 1, .ping)
        #expect(talk.inboxRead(start) == [.goLive(phone, start), .hear([ping])])
        #expect(talk.inboxRead(start) == [])
    }

    @Test func `before connect only a ping is answered`() {
        var talk = Talk()
        #expect(talk.say(ClientFrame(id: 3, .ping)) == [.say(.pong(id: 3))])
        guard case .say(.error(4, "not_connected", _)) = talk.say(ClientFrame(id: 4, .join(news))).first
        else {
            Issue.record("a join before connect is refused")
            return
        }
    }

    @Test func `who does not connect in time is closed`() {
        var talk = Talk()
        #expect(talk.deadline() == [.close(.connectTimeout)])
        #expect(talk.say(ClientFrame(.ping)) == [])
    }

    @Test func `what is said while binding is heard after connected, in order`() {
        var talk = Talk()
        _ = talk.query(user: "alice", key: "phone")
        let frames = [ClientFrame(id: 1, .join(news)), ClientFrame(id: 2, .ping)]
        for frame in frames { #expect(talk.say(frame) == []) }
        #expect(talk.bound() == [.goLive(phone), .hear(frames)])
        #expect(talk.hear(frames[0]) == [.enter(news)])
        #expect(talk.hear(frames[1]) == [.say(.pong(id: 2))])
        #expect(talk.joined("news") == [.say(.ok(id: 1))])
    }

    @Test func `who says too much while binding is closed`() {
        var talk = Talk()
        _ = talk.query(user: "alice", key: "phone")
        for _ in 0..<Session.framesKeptMax { #expect(talk.say(ClientFrame(.ping)) == []) }
        #expect(talk.say(ClientFrame(.ping)).last == .close(.badFrame))
    }

    @Test func `a join is answered when pushes to the room arrive, a second one at once`() {
        var talk = Talk.live()
        #expect(talk.say(ClientFrame(id: 1, .join(news))) == [.enter(news)])
        #expect(talk.say(ClientFrame(id: 2, .join(news)), isMember: true) == [])
        #expect(talk.joined("news") == [.say(.ok(id: 1)), .say(.ok(id: 2))])
        #expect(talk.say(ClientFrame(id: 3, .join(news)), isMember: true) == [.say(.ok(id: 3))])
        #expect(
            talk.say(ClientFrame(id: 4, .leave(news)), isMember: true) == [.exit(news), .say(.ok(id: 4))]
        )
        #expect(talk.say(ClientFrame(id: 5, .leave(news))) == [.say(.ok(id: 5))])
    }

    @Test func `a join that Redis cannot be told of is undone`() {
        var talk = Talk.live()
        _ = talk.say(ClientFrame(id: 1, .join(news)))
        let answer = talk.joinRefused("news")
        #expect(answer.first == .exit(news))
        guard case .say(.error(1, "unavailable", _)) = answer.last else {
            Issue.record("the client is told")
            return
        }
        // Too late.
        #expect(talk.joined("news") == [])
    }

    @Test func `while binding a room that cannot be told closes with come back`() {
        var talk = Talk()
        _ = talk.query(user: "alice", key: "phone", rooms: ["news"])
        #expect(talk.joinRefused("news") == [.close(.routeUnavailable)])
    }

    @Test func `rooms have a limit`() {
        var talk = Talk.live()
        let answer = talk.say(ClientFrame(id: 1, .join(news)), rooms: Limits.standard.roomsPerConnectionMax)
        guard case .say(.error(1, "too_many", _)) = answer.first, answer.count == 1 else {
            Issue.record("one room too many is refused")
            return
        }
    }

    @Test func `connecting twice is refused and harms nothing`() {
        var talk = Talk.live()
        let answer = talk.say(ClientFrame(id: 1, .connect(ConnectRequest())))
        guard case .say(.error(1, "already_connected", _)) = answer.first, answer.count == 1 else {
            Issue.record("a second connect is refused")
            return
        }
    }

    @Test func `a frame that is no JSON ends the conversation, a bad id does not`() {
        var talk = Talk.live()
        let bad = talk.unreadable(WireError(.badID, field: "join.room", "is empty"))
        #expect(bad == [.say(.error(id: nil, code: "bad_id", message: "join.room is empty"))])
        #expect(talk.unreadable(WireError(.badJSON, "ends too early")).last == .close(.badFrame))
        #expect(talk.say(ClientFrame(.ping)) == [])
    }

    @Test func `a bad id in connect ends the conversation`() {
        var talk = Talk()
        #expect(
            talk.unreadable(WireError(.badID, field: "connect.user", "is empty")).last == .close(.badFrame)
        )
    }

    @Test func `replaced while binding`() {
        var talk = Talk()
        _ = talk.query(user: "alice", key: "phone")
        #expect(talk.order(.replaced) == [.close(.replaced)])
        #expect(talk.bound() == [])
        #expect(talk.order(.kicked) == [])
    }

    @Test func `a flood is closed; what an honest client says is not`() {
        var talk = Talk.live()
        var said = 0
        while talk.say(ClientFrame(.ping)).last != .close(CloseCode(number: 1008)), said < 10_000 {
            said += 1
        }
        #expect((1000...2500).contains(said))

        var honest = Talk.live()
        for _ in 0..<10_000 {
            honest.now = honest.now + .milliseconds(10)
            #expect(honest.say(ClientFrame(.ping)) == [.say(.pong(id: nil))])
        }
    }
}

private struct Talk {
    var session = Session()
    var now = Moment(milliseconds: 1000)
    let setting = Session.Setting(limits: .standard, random: (7, 9))

    static func live() -> Talk {
        var talk = Talk()
        _ = talk.query(user: "alice", key: "phone")
        _ = talk.bound()
        return talk
    }

    mutating func query(user: String, key: String, rooms: [String] = []) -> [Session.Action] {
        let name = UserKey(fixed: "\(user)/\(key)")
        let rooms = rooms.map { RoomID(fixed: $0) }
        let request = ConnectRequest(user: name.user, key: name.key, rooms: rooms)
        let setting = setting
        return answer { $0.connectGiven(request, setting, &$1) }
    }

    mutating func say(_ frame: ClientFrame, isMember: Bool = false, rooms: Int = 1) -> [Session.Action] {
        let (setting, now) = (setting, now)
        let room = Session.RoomView(isMember: isMember, count: rooms)
        return answer { $0.frameReceived(frame, room: room, at: now, setting, &$1) }
    }

    mutating func hear(_ frame: ClientFrame) -> [Session.Action] {
        let setting = setting
        let room = Session.RoomView(isMember: false, count: 0)
        return answer { $0.hear(frame, room: room, setting, &$1) }
    }

    mutating func unreadable(_ error: WireError) -> [Session.Action] {
        let now = now
        return answer { $0.frameUnreadable(error, at: now, &$1) }
    }

    mutating func bound() -> [Session.Action] { answer { $0.bound(&$1) } }
    mutating func inboxRead(_ start: InboxStart) -> [Session.Action] { answer { $0.inboxRead(start, &$1) } }
    mutating func deadline() -> [Session.Action] { answer { $0.deadlinePassed(&$1) } }
    mutating func order(_ code: CloseCode) -> [Session.Action] { answer { $0.closeOrdered(code, &$1) } }
    mutating func joined(_ room: String) -> [Session.Action] {
        answer { $0.joined(RoomID(fixed: room), &$1) }
    }
    mutating func joinRefused(_ room: String) -> [Session.Action] {
        answer { $0.joinRefused(RoomID(fixed: room), &$1) }
    }

    private mutating func answer(_ event: (inout Session, inout [Session.Action]) -> Void) -> [Session.Action]
    {
        var actions: [Session.Action] = []
        event(&session, &actions)
        return actions
    }
}
