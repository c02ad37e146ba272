import Foundation
import HeraldCore
import Testing

/// The judge, fed with histories of which one thing is wrong: it says so, and nothing else.
struct DeliveryJudgeTests {
    /// alice follows her inbox, leaves, misses one push, comes back and is shown it. Then Redis restarts with what it
    /// had a second ago: `a4` is gone, and she is told. bob has two devices, pushes that are not kept, and leaves with one.
    private static var right: DeliveryHistory {
        let book = Book()
        let alice = book.client("alice/phone")
        let phone = book.client("bob/phone")
        let laptop = book.client("bob/laptop")
        book.saw(alice, .connected(start(1, 0, recovered: false)))
        book.saw(phone, .connected(start(2, 5, recovered: false)))
        book.saw(laptop, .connected(nil))
        book.push("a1", "alice", .verdict("routed", id: "i-a1", place: at(1, 1)), shownTo: [alice])
        book.push("a2", "alice", .verdict("acked", id: "i-a2", place: at(1, 2)), shownTo: [alice])
        book.saw(alice, .left)
        book.push("a3", "alice", .verdict("stored", id: "i-a3", place: at(1, 3)))
        book.saw(alice, .connected(start(1, 2, recovered: true)))
        book.show("a3", at(1, 3), to: alice)
        book.push("a4", "alice", .verdict("routed", id: "i-a4", place: at(1, 4)))
        book.push("a5", "alice", .unknown)
        book.saw(alice, .reset(at(1, 1_000_004)))
        book.push("a6", "alice", .verdict("routed", id: "i-a6", place: at(1, 1_000_005)), shownTo: [alice])
        book.push("b1", "bob", .verdict("routed", id: "i-b1", place: at(2, 6)), shownTo: [phone, laptop])
        book.push(
            "b2",
            "bob",
            .verdict("written", id: "i-b2", place: nil),
            shownTo: [phone],
            isDurable: false
        )
        book.push("b3", "bob", .verdict("offline", id: "i-b3", place: nil), isDurable: false)
        book.push("b4", "bob", .refused)
        book.push("b5", "bob", .verdict("routed", id: "i-b5", place: nil), isDurable: false)
        book.push(
            "b7",
            "bob",
            .verdict("routed", id: "i-b7", place: nil),
            shownTo: [phone],
            isDurable: false
        )
        book.push("b6", "bob", .verdict("written", id: "i-b6", place: nil), isDurable: false)
        book.saw(phone, .left)
        return book.history
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var kind: DeliveryJudgement.Kind
        var says: String
        var change: @Sendable (inout DeliveryHistory) -> Void
    }

    @Test func `a right history is right`() {
        let judgement = DeliveryJudgement(Self.right)
        #expect(judgement.wrongs.isEmpty)
        #expect(judgement.told == 1 && judgement.tellings == 1 && judgement.recoveries == 1)
        #expect(judgement.shown == 8)
        // Of bob's, who is there when he is called offline.
        #expect(judgement.unseen == 1 && judgement.parted == 1 && judgement.misjudged == 1)
        #expect(judgement.answers["routed"] == 6 && judgement.answers["refused"] == 1)
    }

    @Test(arguments: [
        Wrong(testDescription: "promised, never shown, the last", kind: .lost, says: "never saw a6") {
            $0.remove("a6", from: "alice/phone")
        },
        Wrong(testDescription: "promised while away", kind: .lost, says: "never saw a3") {
            $0.remove("a3", from: "alice/phone")
            $0.change("alice/phone", .reset(at(1, 1_000_004))) { .connected(start(1, 3, recovered: true)) }
            $0.remove("a6", from: "alice/phone")
            $0.drop(["a4", "a6"])
        },
        Wrong(testDescription: "told of less than is missing", kind: .lost, says: "never saw a4") {
            $0.change("alice/phone", .reset(at(1, 1_000_004))) { .reset(at(1, 3)) }
            $0.remove("a6", from: "alice/phone")
            $0.drop(["a6"])
        },
        Wrong(testDescription: "shown to one device of two", kind: .lost, says: "bob/phone came to 2.5") {
            $0.remove("b1", from: "bob/phone")
        },
        Wrong(testDescription: "written, not kept, shown to nobody", kind: .lost, says: "b2 was written") {
            $0.remove("b2", from: "bob/phone")
        },
        Wrong(testDescription: "a jump of offsets without a word", kind: .gap, says: "shown a6 at 1.1000005")
        {
            $0.change("alice/phone", .reset(at(1, 1_000_004))) { .left }
            $0.drop(["a4"])
        },
        Wrong(testDescription: "a new epoch without a word", kind: .gap, says: "shown b1 at 3.1") {
            $0.place("b1", at(3, 1))
        },
        Wrong(testDescription: "recovered past what was missed", kind: .gap, says: "shown a3 at 1.4") {
            $0.place("a3", at(1, 4))
            $0.drop(["a4"])
        },
        Wrong(testDescription: "shown twice", kind: .duplicate, says: "alice/phone was shown a2 again") {
            $0.repeatSight("a2", of: "alice/phone")
        },
        Wrong(
            testDescription: "shown twice, not kept",
            kind: .duplicate,
            says: "bob/phone was shown b2 again"
        ) {
            $0.repeatSight("b2", of: "bob/phone")
        },
        Wrong(testDescription: "offsets that fall", kind: .order, says: "shown a2 at 1.1 after 1.2") {
            $0.pushes[0].publisher = "other"
            $0.pushes[0].answered = $0.pushes[1].moment + 1
            $0.place("a1", at(1, 2))
            $0.place("a2", at(1, 1))
            // The step to the higher one was a gap; the client began there.
            $0.change("alice/phone", .connected(start(1, 0, recovered: false))) {
                .connected(start(1, 1, recovered: false))
            }
            $0.pushes[1].answer = .unknown
        },
        Wrong(testDescription: "a publisher's order", kind: .order, says: "shown b1 after b2") {
            $0.place("b1", nil)
            $0.pushes[6].isDurable = false
            $0.swapSights("b1", "b2", of: "bob/phone")
            $0.remove("b1", from: "bob/laptop")
        },
        Wrong(testDescription: "places against time", kind: .order, says: "a0 has a later place than a3") {
            let first = DeliveryHistory.Sent(
                label: "a0",
                publisher: "other",
                user: "alice",
                isDurable: true,
                moment: -2,
                answered: -1,
                answer: .verdict("stored", id: "i-a0", place: at(1, 4))
            )
            $0.pushes.append(first)
            $0.drop(["a4"])
        },
        Wrong(testDescription: "refused, and shown", kind: .verdict, says: "b4 was refused") {
            $0.see("b4", by: "bob/laptop")
        },
        Wrong(testDescription: "offline, and shown", kind: .verdict, says: "b3 was offline") {
            $0.see("b3", by: "bob/laptop")
        },
        Wrong(testDescription: "acked by nobody", kind: .verdict, says: "b1 was acked before") {
            $0.place("b1", nil)
            $0.pushes[6].isDurable = false
            $0.pushes[6].answer = .verdict("acked", id: "i-b1", place: nil)
            $0.remove("b1", from: "bob/phone")
            $0.remove("b1", from: "bob/laptop")
        },
        Wrong(testDescription: "acked too early", kind: .verdict, says: "a2 was acked before") {
            $0.pushes[1].answered = $0.pushes[1].moment
        },
        Wrong(testDescription: "stored nowhere", kind: .verdict, says: "b3 was stored, and has no place") {
            $0.pushes[8].answer = .verdict("stored", id: "i-b3", place: nil)
        },
        Wrong(
            testDescription: "durable, and kept nowhere",
            kind: .verdict,
            says: "b3 was offline, and has no"
        ) {
            $0.pushes[8].isDurable = true
        },
        Wrong(testDescription: "kept elsewhere", kind: .verdict, says: "kept at 1.4, and shown at 1.1") {
            $0.pushes[0].answer = .verdict("routed", id: "i-a1", place: at(1, 4))
            $0.pushes[0].answered = $0.pushes[4].moment
            $0.drop(["a4"])
        },
        Wrong(testDescription: "one place for two", kind: .verdict, says: "have the one place 1.4") {
            $0.pushes[4].answer = $0.pushes[3].answer
        },
        Wrong(testDescription: "another id", kind: .verdict, says: "b1 was answered as i-x") {
            $0.pushes[6].answer = .verdict("routed", id: "i-x", place: at(2, 6))
            $0.remove("b1", from: "bob/laptop")
        },
        Wrong(testDescription: "of another user", kind: .stranger, says: "b1, which is for bob") {
            $0.clients[2].user = "carol"
        },
        Wrong(testDescription: "sent by nobody", kind: .stranger, says: "shown ghost, which nobody sent") {
            $0.see("ghost", by: "bob/laptop")
        },
    ])
    func `one wrong is named, and nothing else`(_ wrong: Wrong) {
        var history = Self.right
        wrong.change(&history)
        let judgement = DeliveryJudgement(history)
        #expect(judgement.wrongs.count == 1, "\(judgement.wrongs)")
        #expect(judgement.wrongs.first?.kind == wrong.kind)
        #expect(judgement.wrongs.first?.what.contains(wrong.says) == true, "\(judgement.wrongs)")
        #expect(judgement.counts == [wrong.kind: 1])
    }

    @Test func `answers are read for what they promise`() throws {
        let kept =
            #"{"id":"7","verdicts":[{"user":"a","verdict":"stored","stored":{"epoch":"1","offset":5}}]}"#
        #expect(try answer(200, kept) == .verdict("stored", id: "7", place: at(1, 5)))
        let away = #"{"id":"8","verdicts":[{"user":"a","verdict":"offline"}]}"#
        #expect(try answer(200, away) == .verdict("offline", id: "8", place: nil))
        #expect(try answer(503, #"{"detail":"too many pushes are waiting; nothing was sent"}"#) == .refused)
        #expect(try answer(503, #"{"detail":"nothing was sent, but it may be kept"}"#) == .unknown)
        #expect(try answer(503, #"{"detail":"the time is over"}"#) == .unknown)
    }

    private func answer(_ status: Int, _ body: String) throws -> DeliveryHistory.Answer {
        try DeliveryAnswer.read(status, Data(body.utf8))
    }

    @Test func `the recorder writes down what happens, in its order`() {
        let recorder = DeliveryRecorder()
        let client = recorder.client("alice/phone", of: "alice")
        recorder.saw(client, .connected(start(1, 4, recovered: false)))
        let push = recorder.sent("a1", to: "alice", by: "p")
        recorder.saw(client, .shown(label: "a1", id: "7", place: at(1, 5)))
        recorder.answered(push, .verdict("routed", id: "7", place: at(1, 5)))
        #expect(recorder.place(client) == at(1, 5) && recorder.places == [at(1, 5)])
        let history = recorder.history
        #expect(history.pushes.map(\.moment) == [2] && history.pushes.map(\.answered) == [4])
        #expect(history.clients.first?.sights.map(\.moment) == [1, 3])
        #expect(DeliveryJudgement(history).wrongs.isEmpty)
    }
}

private func at(_ epoch: UInt64, _ offset: UInt64) -> InboxPosition {
    InboxPosition(epoch: epoch, offset: offset)
}

private func start(_ epoch: UInt64, _ offset: UInt64, recovered: Bool) -> InboxStart {
    InboxStart(position: at(epoch, offset), isRecovered: recovered)
}

/// Writes histories, one publisher to a user.
private struct Book {
    private let recorder = DeliveryRecorder()

    var history: DeliveryHistory { recorder.history }

    func client(_ name: String) -> Int {
        recorder.client(name, of: String(name.prefix { $0 != "/" }))
    }

    func saw(_ client: Int, _ what: DeliveryHistory.Sight.What) { recorder.saw(client, what) }

    func show(_ label: String, _ place: InboxPosition?, to client: Int) {
        recorder.saw(client, .shown(label: label, id: "i-\(label)", place: place))
    }

    func push(
        _ label: String,
        _ user: String,
        _ answer: DeliveryHistory.Answer,
        shownTo clients: [Int] = [],
        isDurable: Bool = true
    ) {
        let push = recorder.sent(label, to: user, by: "for \(user)", isDurable: isDurable)
        for client in clients {
            if case .verdict(_, _, let place) = answer { show(label, place, to: client) }
        }
        recorder.answered(push, answer)
    }
}

extension DeliveryHistory {
    private func client(_ name: String) -> Int {
        guard let index = clients.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("nobody is called \(name)")
        }
        return index
    }

    private func sight(_ label: String, _ client: Int) -> Int {
        let index = clients[client].sights.firstIndex {
            if case .shown(label, _, _) = $0.what { true } else { false }
        }
        guard let index else { preconditionFailure("\(label) was not shown") }
        return index
    }

    fileprivate mutating func remove(_ label: String, from name: String) {
        let client = client(name)
        clients[client].sights.remove(at: sight(label, client))
    }

    /// As if these had never been sent.
    fileprivate mutating func drop(_ labels: Set<String>) { pushes.removeAll { labels.contains($0.label) } }

    fileprivate mutating func change(_ name: String, _ old: Sight.What, _ new: () -> Sight.What) {
        let client = client(name)
        for index in clients[client].sights.indices where clients[client].sights[index].what == old {
            clients[client].sights[index].what = new()
        }
    }

    /// Answered and shown with another place.
    fileprivate mutating func place(_ label: String, _ place: InboxPosition?) {
        for index in pushes.indices where pushes[index].label == label {
            if case .verdict(let verdict, let id, _) = pushes[index].answer {
                pushes[index].answer = .verdict(verdict, id: id, place: place)
            }
        }
        for client in clients.indices {
            for index in clients[client].sights.indices {
                guard case .shown(label, let id, _) = clients[client].sights[index].what else { continue }
                clients[client].sights[index].what = .shown(label: label, id: id, place: place)
            }
        }
    }

    fileprivate mutating func repeatSight(_ label: String, of name: String) {
        let client = client(name)
        let index = sight(label, client)
        clients[client].sights.insert(clients[client].sights[index], at: index + 1)
    }

    fileprivate mutating func swapSights(_ first: String, _ second: String, of name: String) {
        let client = client(name)
        clients[client].sights.swapAt(sight(first, client), sight(second, client))
    }

    fileprivate mutating func see(_ label: String, by name: String) {
        let what = Sight.What.shown(label: label, id: "i-\(label)", place: nil)
        clients[client(name)].sights.append(Sight(moment: 1000, what: what))
    }
}
