import HeraldCore
import HeraldSockets
import HeraldWire
import Testing

@testable import HeraldCloud

/// Transcripts of one session that follows an inbox.
struct InboxLaneTests {
    @Test func `a client that begins is told the end, and gets what comes next`() {
        var lane = Transcript(.fresh)
        #expect(lane.told == ["read -"])
        #expect(lane.page(head: 7) == ["start 7 new"])
        #expect(lane.arrive(8) == ["pass 8"])
        #expect(lane.arrive(9) == ["pass 9"])
    }

    @Test func `a client that returns gets all between, then what arrived meanwhile, each once`() {
        var lane = Transcript(.after(at(5)))
        #expect(lane.told == ["read 5"])
        #expect(lane.arrive(8) == [])
        #expect(lane.arrive(9) == [])
        #expect(
            lane.page([6, 7, 8], head: 8) == [
                "start 5 recovered", "show 6", "show 7", "show 8", "skip 8", "pass 9",
            ]
        )
        #expect(lane.arrive(9) == ["skip 9"])
        #expect(lane.arrive(10) == ["pass 10"])
    }

    @Test func `a long history comes page by page, the next when the client has taken the one before`() {
        var lane = Transcript(.after(at(0)))
        #expect(
            lane.page([1, 2], head: 5) == ["start 0 recovered", "show 1", "show 2 end", "read 2 drained"]
        )
        #expect(lane.arrive(6) == [])
        #expect(lane.page([3, 4], head: 6) == ["show 3", "show 4 end", "read 4 drained"])
        #expect(lane.page([5, 6], head: 6) == ["show 5", "show 6", "skip 6"])
    }

    @Test func `a history that does not reach back is said to be none`() {
        var lane = Transcript(.after(at(5)))
        #expect(lane.arrive(41) == [])
        #expect(lane.page(isContinuous: false, head: 40) == ["start 40 new", "pass 41"])
    }

    @Test func `a gap is filled before what came after it is shown`() {
        var lane = Transcript.live(at: 5)
        #expect(lane.arrive(8) == ["read 5"])
        #expect(lane.arrive(7) == [])
        #expect(lane.arrive(9) == [])
        #expect(
            lane.page([6, 7, 8], head: 8) == ["show 6", "show 7", "show 8", "skip 7", "skip 8", "pass 9"]
        )
    }

    @Test func `a gap that opens while another is filled is filled next`() {
        var lane = Transcript.live(at: 5)
        #expect(lane.arrive(7) == ["read 5"])
        #expect(lane.arrive(10) == [])
        #expect(lane.page([6, 7], head: 7) == ["show 6", "show 7", "skip 7", "forget 10", "read 7"])
        #expect(lane.page([8, 9, 10], head: 10) == ["show 8", "show 9", "show 10"])
    }

    @Test func `two senders out of order are put right`() {
        var lane = Transcript.live(at: 5)
        #expect(lane.arrive(7) == ["read 5"])
        #expect(lane.arrive(6) == [])
        #expect(lane.page([6, 7], head: 7) == ["show 6", "show 7", "skip 6", "skip 7"])
        #expect(lane.arrive(8) == ["pass 8"])
    }

    @Test func `where offsets jump something may be missing, and the client is told`() {
        var lane = Transcript.live(at: 5)
        #expect(lane.arrive(1_000_006) == ["read 5"])
        #expect(lane.page(isContinuous: false, head: 1_000_006) == ["reset 100.1000006", "skip 1000006"])
        #expect(lane.arrive(1_000_007) == ["pass 1000007"])
    }

    @Test func `another epoch means that the history was lost, and the client is told`() {
        var lane = Transcript.live(at: 5)
        let other = InboxPosition(epoch: 200, offset: 1)
        #expect(lane.arrive(other) == ["read 5"])
        #expect(lane.page(isContinuous: false, head: other) == ["reset 200.1", "skip 1"])
        #expect(lane.arrive(InboxPosition(epoch: 200, offset: 2)) == ["pass 2"])
        #expect(lane.arrive(6) == ["read 200.2"])
    }

    @Test func `a doubt is one look, also when it comes during another`() {
        var lane = Transcript.live(at: 5)
        #expect(lane.doubt() == ["read 5"])
        #expect(lane.doubt() == [])
        #expect(lane.page(head: 5) == ["read 5"])
        #expect(lane.page([6], head: 6) == ["show 6"])
        #expect(lane.arrive(7) == ["pass 7"])
    }

    @Test func `a read that failed is made again`() {
        var lane = Transcript(.after(at(5)))
        #expect(lane.fail() == ["read 5"])
        #expect(lane.page(head: 5) == ["start 5 recovered"])
    }

    @Test func `more than is kept during a filling is read again`() {
        var lane = Transcript.live(at: 0)
        #expect(lane.arrive(2) == ["read 0"])
        for offset in 3...66 { _ = lane.arrive(UInt64(offset)) }
        #expect(lane.arrive(67) == ["forget 67"])
        let told = lane.page([1], head: 1)
        #expect(told.first == "show 1")
        #expect(told.last == "read 1")
        #expect(!told.contains { $0.hasPrefix("pass") }, "the order would be lost")
    }

    /// Whatever arrives, in whatever order, with whatever reads: the client sees each message once, in order.
    @Test(arguments: 0..<200) func `each message is shown once and in order`(seed: Int) {
        var random = Seeded(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        var stored: UInt64 = 3
        var lane = Transcript(.after(at(1)))
        var isReading = true
        var shown: [UInt64] = []
        var inFlight: [UInt64] = []
        func take(_ told: [String]) {
            for word in told {
                let parts = word.split(separator: " ")
                if parts[0] == "show" || parts[0] == "pass", let offset = UInt64(parts[1]) {
                    shown.append(offset)
                }
                if parts[0] == "read" { isReading = true }
            }
        }
        for _ in 0..<300 {
            switch random.next() % 4 {
            case 0:
                stored += 1
                // One in eight never arrives.
                if random.next() % 8 > 0 { inFlight.append(stored) }
            case 1 where !inFlight.isEmpty:
                let offset = inFlight.remove(at: Int(random.next() % UInt64(inFlight.count)))
                take(lane.arrive(offset))
                if random.next() % 4 == 0 { inFlight.append(offset) }
            case 2 where isReading:
                isReading = false
                let from = (shown.last ?? 1) + 1
                let page = from <= stored ? Array(from...min(stored, from + random.next() % 4)) : []
                take(lane.page(page, head: stored))
            case 3: take(lane.doubt())
            default: break
            }
        }
        take(lane.doubt())
        while isReading {
            isReading = false
            let from = (shown.last ?? 1) + 1
            take(lane.page(from <= stored ? Array(from...stored) : [], head: stored))
        }
        #expect(shown == Array(2...stored))
    }

    @Test func `of a page so much is shown as may wait for a socket, and one at least`() {
        var lane = Transcript(.after(at(10)), shownBytesMax: 1100)
        let page = lane.page([11, 12, 13], head: 13)
        #expect(page == ["start 10 recovered", "show 11", "show 12 end", "read 12 drained"])
        #expect(lane.page([13], head: 13) == ["show 13"])
        #expect(lane.lane.state == .live(at(13)))
        var narrow = Transcript(.after(at(10)), shownBytesMax: 100)
        #expect(narrow.page([11, 12], head: 12) == ["start 10 recovered", "show 11 end", "read 11 drained"])
        #expect(narrow.page([12], head: 12) == ["show 12"])
    }

    private func at(_ offset: UInt64) -> InboxPosition { InboxPosition(epoch: 100, offset: offset) }
}

private struct Seeded {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}

/// A lane, and in words what each event led to.
private struct Transcript {
    var lane: InboxLane
    /// By its first event.
    var told: [String] = []

    init(_ resume: ResumeRequest, shownBytesMax: Int = .max) {
        var effects: [InboxLane.Effect] = []
        lane = InboxLane(resume, shownBytesMax: shownBytesMax, &effects)
        told = words(effects)
    }

    static func live(at offset: UInt64) -> Transcript {
        var transcript = Transcript(.fresh)
        _ = transcript.page(head: offset)
        return transcript
    }

    mutating func arrive(_ offset: UInt64) -> [String] { arrive(InboxPosition(epoch: 100, offset: offset)) }

    mutating func arrive(_ position: InboxPosition) -> [String] {
        let frame = Hub.HeldFrame(frame: .text("\(position.offset)"), position: position)
        return event { $0.arrived(InboxLane.Arrival(position: position, frame: frame), &$1) }
    }

    mutating func doubt() -> [String] { event { $0.doubted(&$1) } }
    mutating func fail() -> [String] { event { $0.readFailed(&$1) } }

    mutating func page(_ offsets: [UInt64] = [], head: UInt64) -> [String] {
        page(offsets, isContinuous: true, head: InboxPosition(epoch: 100, offset: head))
    }

    mutating func page(isContinuous: Bool, head: UInt64) -> [String] {
        page([], isContinuous: isContinuous, head: InboxPosition(epoch: 100, offset: head))
    }

    mutating func page(isContinuous: Bool, head: InboxPosition) -> [String] {
        page([], isContinuous: isContinuous, head: head)
    }

    private mutating func page(_ offsets: [UInt64], isContinuous: Bool, head: InboxPosition) -> [String] {
        let messages = offsets.map { offset in
            InboxMessage(
                position: InboxPosition(epoch: 100, offset: offset),
                push: PushID(fixed: "p\(offset)"),
                message: Message(),
                at: RedisTime(milliseconds: 0)
            )
        }
        return event {
            $0.pageRead(InboxPage(isContinuous: isContinuous, messages: messages, head: head), &$1)
        }
    }

    private mutating func event(_ body: (inout InboxLane, inout [InboxLane.Effect]) -> Void) -> [String] {
        var effects: [InboxLane.Effect] = []
        body(&lane, &effects)
        return words(effects)
    }

    private func words(_ effects: [InboxLane.Effect]) -> [String] {
        effects.map { effect in
            switch effect {
            case .start(let start):
                "start \(start.position.offset) \(start.isRecovered ? "recovered" : "new")"
            case .reset(let position): "reset \(position)"
            case .show(let message, let endsPage): "show \(message.position.offset)\(endsPage ? " end" : "")"
            case .pass(let frame): "pass \(frame.position?.offset ?? 0)"
            case .skip(let frame): "skip \(frame.position?.offset ?? 0)"
            case .forget(let frame): "forget \(frame.position?.offset ?? 0)"
            case .read(let position, let afterDrain):
                "read \(position.map(word) ?? "-")\(afterDrain ? " drained" : "")"
            }
        }
    }

    private func word(_ position: InboxPosition) -> String {
        position.epoch == 100 ? "\(position.offset)" : "\(position)"
    }
}
