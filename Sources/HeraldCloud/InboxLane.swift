import HeraldCore

/// One session's way through its user's inbox: what of it the client has been shown, and how the rest gets there.
///
///     opening ──first page──▶ filling ──complete──▶ live ──gap, doubt──▶ filling
///        │                       │                    ▲                     │
///        └──── no answer: again in a moment ──────────┴────── complete ─────┘
///
/// - opening: the session is bound, so everything stored from now on finds it or is in the first page; it is not
///   told `connected` before that page is read.
/// - filling: messages are missing between what was shown and what is there. They are read page by page, the next
///   one when the client has taken the one before; of a page no more is shown at once than half of what may wait for
///   a socket, and the rest is read again. What arrives meanwhile is kept, or forgotten when it is too
///   much: it is in the inbox.
/// - live: what arrives next in line is passed on; what was shown already is dropped; what leaves a gap, or is of
///   another epoch, begins a filling.
///
/// A page that is not continuous means that messages are lost to this client: it is told, and goes on from the end.
/// Never is a part of a gap shown as if it were the whole (Centrifugo's rule).
///
/// The caller performs the effects in their order and then, and only then, gives the next event.
struct InboxLane {
    private(set) var state: State
    /// What arrived and waits for those before it, as it came.
    private var kept: [Arrival] = []
    /// More arrived than is kept: read on when those before are shown.
    private var hasForgotten = false
    private var isReading = false
    private let shownBytesMax: Int

    enum State: Hashable {
        case opening(ResumeRequest)
        case filling(InboxPosition)
        case live(InboxPosition)
    }

    /// A live delivery of a stored message.
    struct Arrival {
        var position: InboxPosition
        var frame: Hub.HeldFrame
    }

    enum Effect {
        /// The first page is there: tell the client where it is, and whether it misses something.
        case start(InboxStart)
        /// Messages are lost to this client: tell it where it goes on.
        case reset(InboxPosition)
        /// `endsPage`: the next page is read when the client has taken this one.
        case show(InboxMessage, endsPage: Bool)
        case pass(Hub.HeldFrame)
        /// It was shown before.
        case skip(Hub.HeldFrame)
        /// It is not shown from here, but will come with a page.
        case forget(Hub.HeldFrame)
        /// Read on after this place, nil: only the end is wanted. When `afterDrain`, not before the client has taken
        /// what was shown.
        case read(after: InboxPosition?, afterDrain: Bool)
    }

    /// Arrivals kept during a filling.
    static let keptMax = 64

    /// The session is bound. `shownBytesMax` is of the frames that one page may queue; the first of them is shown
    /// whatever it has.
    init(_ resume: ResumeRequest, shownBytesMax: Int = .max, _ effects: inout [Effect]) {
        state = .opening(resume)
        self.shownBytesMax = shownBytesMax
        ask(&effects)
    }

    /// A stored message was delivered to this session.
    mutating func arrived(_ arrival: Arrival, _ effects: inout [Effect]) {
        guard case .live(let last) = state else { return keep(arrival, &effects) }
        let next = arrival.position
        if next.epoch == last.epoch, next.offset <= last.offset {
            return effects.append(.skip(arrival.frame))
        }
        if next.epoch == last.epoch, next.offset == last.offset + 1 {
            state = .live(next)
            return effects.append(.pass(arrival.frame))
        }
        state = .filling(last)
        keep(arrival, &effects)
        ask(&effects)
    }

    /// Something may have been missed.
    mutating func doubted(_ effects: inout [Effect]) {
        guard case .live(let last) = state else {
            // The read under way may have been made before.
            hasForgotten = true
            return
        }
        state = .filling(last)
        ask(&effects)
    }

    /// The read did not succeed: once more, whenever the caller finds it right.
    mutating func readFailed(_ effects: inout [Effect]) {
        isReading = false
        ask(&effects)
    }

    mutating func pageRead(_ page: InboxPage, _ effects: inout [Effect]) {
        isReading = false
        var last: InboxPosition
        switch state {
        case .live: return
        case .opening(let resume):
            let from = page.isContinuous ? resume.position : nil
            last = from ?? page.head
            effects.append(.start(InboxStart(position: last, isRecovered: from != nil)))
        case .filling(let position):
            last = position
            if !page.isContinuous {
                last = page.head
                effects.append(.reset(page.head))
            }
        }
        let unseen = page.isContinuous ? page.messages.filter { isAfter($0.position, last) } : []
        let shown = unseen.prefix(fitting(unseen))
        let isComplete = shown.last.map { $0.position == page.head } ?? true
        for (index, message) in shown.enumerated() {
            effects.append(.show(message, endsPage: !isComplete && index == shown.count - 1))
            last = message.position
        }
        state = .filling(last)
        if isComplete { release(from: last, &effects) } else { ask(afterDrain: true, &effects) }
    }

    /// How many of these may be shown at once; one at least, if there is one.
    private func fitting(_ messages: [InboxMessage]) -> Int {
        var bytes = 0
        let first = messages.firstIndex { message in
            bytes += message.frameBytes
            return bytes > shownBytesMax
        }
        return max(first ?? messages.count, min(1, messages.count))
    }

    /// Nothing is missing up to `last`: what was kept goes on from there, as far as it is in line.
    private mutating func release(from start: InboxPosition, _ effects: inout [Effect]) {
        var last = start
        let waiting = kept.sorted {
            ($0.position.epoch, $0.position.offset) < ($1.position.epoch, $1.position.offset)
        }
        kept = []
        var isGap = hasForgotten
        hasForgotten = false
        for arrival in waiting {
            let next = arrival.position
            if isGap {
                effects.append(.forget(arrival.frame))
            } else if next.epoch < last.epoch || (next.epoch == last.epoch && next.offset <= last.offset) {
                effects.append(.skip(arrival.frame))
            } else if next.epoch == last.epoch, next.offset == last.offset + 1 {
                effects.append(.pass(arrival.frame))
                last = next
            } else {
                isGap = true
                effects.append(.forget(arrival.frame))
            }
        }
        state = isGap ? .filling(last) : .live(last)
        if isGap { ask(&effects) }
    }

    private mutating func keep(_ arrival: Arrival, _ effects: inout [Effect]) {
        guard kept.count < Self.keptMax else {
            hasForgotten = true
            return effects.append(.forget(arrival.frame))
        }
        kept.append(arrival)
    }

    private mutating func ask(afterDrain: Bool = false, _ effects: inout [Effect]) {
        guard !isReading else { return }
        isReading = true
        switch state {
        case .opening(let resume): effects.append(.read(after: resume.position, afterDrain: false))
        case .filling(let last): effects.append(.read(after: last, afterDrain: afterDrain))
        case .live: isReading = false
        }
    }

    private func isAfter(_ position: InboxPosition, _ last: InboxPosition) -> Bool {
        position.epoch != last.epoch || position.offset > last.offset
    }

    /// What was kept is not needed any more: the session is over.
    func abandoned() -> [Hub.HeldFrame] { kept.map(\.frame) }
}

extension InboxMessage {
    /// About what the frame of it holds: the payload, in base64 where it is binary, and what stands around it.
    fileprivate var frameBytes: Int {
        let around = 512
        switch message.payload {
        case .json(let bytes): return bytes.count + around
        case .binary(let bytes): return bytes.count * 4 / 3 + around
        case nil: return around
        }
    }
}
