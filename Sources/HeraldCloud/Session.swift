import HeraldCore
import HeraldWire

/// One client's conversation, decided without I/O.
///
///     awaitingConnect ──connect──▶ binding ──bound, rooms shared, inbox read──▶ live ──▶ closing
///            │ (deadline, bad frame)   │ (no route in time, replaced)   │
///            └─────────────────────────┴────────────────────────────────┴──▶ closing
///
/// - awaitingConnect: the upgrade did not say who it is. Only `connect` and `ping` are heard.
/// - binding: the keeper was asked for the key and for the rooms. What the client says meanwhile is kept, a
///   few frames of it, and heard after `connected`.
/// - live: joins wait for the keeper, each with the id of its request.
/// - closing: nothing is heard any more.
///
/// The handler asks the hub what the machine must know of rooms and hands it over with the frame; it performs the
/// actions in their order. A value of 32 bytes in an array of the loop's sessions, and so copyable.
struct Session {
    private(set) var state = State.awaitingConnect
    private var joins: [Join] = []
    private var allowance = Allowance()

    enum State {
        case awaitingConnect
        indirect case binding(Binding)
        case live
        case closing
    }

    struct Binding {
        var name: UserKey
        var isBound = false
        /// Rooms of which the keeper has not said yet that pushes to them arrive.
        var rooms: [RoomID]
        var inbox: InboxOpening
        /// What the client said meanwhile.
        var frames: [ClientFrame] = []
    }

    /// How far the opening of the user's inbox is.
    enum InboxOpening {
        case unwanted
        /// Not before all else is there: what is stored after the key was bound finds the session.
        case wanted(ResumeRequest)
        case reading
        case read(InboxStart)

        var isSettled: Bool {
            switch self {
            case .unwanted, .read: true
            case .wanted, .reading: false
            }
        }

        var start: InboxStart? {
            if case .read(let start) = self { start } else { nil }
        }
    }

    private struct Join {
        var room: RoomID
        var id: UInt64?
    }

    /// What is known of the room that a frame names.
    struct RoomView {
        var isMember: Bool
        /// Rooms of the session.
        var count: Int
    }

    enum Action: Equatable {
        /// Ask the keeper for the key, and take a seat in the hub.
        case claim(UserKey)
        /// Become a member in the hub, and tell the keeper.
        case enter(RoomID)
        case exit(RoomID)
        case say(ServerFrame)
        /// Follow the user's inbox from there.
        case openInbox(ResumeRequest)
        /// Say `connected`, then all that was kept.
        case goLive(UserKey, InboxStart? = nil)
        /// Frames kept while binding are to be heard now.
        case hear([ClientFrame])
        /// The client has the push: tell who waits for that.
        case acknowledge(PushID)
        case close(CloseCode)
    }

    /// Frames kept while binding; a client that says more before it is answered does not follow the protocol.
    static let framesKeptMax = 32

    var isLive: Bool {
        if case .live = state { true } else { false }
    }

    /// The node's part of the answers.
    struct Setting {
        var limits: Limits
        /// Two random numbers, for who gives no name.
        var random: (UInt64, UInt64)
    }

    // MARK: What the client says

    /// The upgrade already said who it is.
    mutating func connectGiven(_ request: ConnectRequest, _ setting: Setting, _ actions: inout [Action]) {
        guard case .awaitingConnect = state else { return }
        guard request.rooms.count <= setting.limits.roomsPerConnectionMax else {
            actions.append(.say(Self.tooManyRooms(nil, setting)))
            return close(.badFrame, &actions)
        }
        let name = UserKey(
            user: request.user ?? UserID(anonymous: setting.random.0),
            key: request.key ?? ConnectionKey(generated: setting.random.1)
        )
        let inbox = request.resume.map(InboxOpening.wanted) ?? .unwanted
        state = .binding(Binding(name: name, rooms: request.rooms, inbox: inbox))
        actions.append(.claim(name))
        for room in request.rooms { actions.append(.enter(room)) }
    }

    /// `isOwed`: the node asked for it, so it may come as often as it was asked for.
    mutating func frameReceived(
        _ frame: ClientFrame,
        room: RoomView?,
        isOwed: Bool = false,
        at now: Moment,
        _ setting: Setting,
        _ actions: inout [Action]
    ) {
        if case .closing = state { return }
        guard isOwed || allowance.spend(Self.cost(of: frame), at: now) else { return closeForFlood(&actions) }
        hear(frame, room: room, setting, &actions)
    }

    /// A frame that was kept, and paid for when it came.
    mutating func hear(
        _ frame: ClientFrame,
        room: RoomView?,
        _ setting: Setting,
        _ actions: inout [Action]
    ) {
        switch state {
        case .awaitingConnect: heardBeforeConnect(frame, setting, &actions)
        case .binding(var binding):
            guard binding.frames.count < Self.framesKeptMax else {
                let message = "at most \(Self.framesKeptMax) frames may come before the answer to connect"
                actions.append(.say(.error(id: frame.id, code: "too_early", message: message)))
                return close(.badFrame, &actions)
            }
            binding.frames.append(frame)
            state = .binding(binding)
        case .live: heardLive(frame, room, setting, &actions)
        case .closing: break
        }
    }

    /// A frame that is not of the protocol. Before `connect`, and when it was not even JSON, it ends the
    /// conversation.
    mutating func frameUnreadable(_ error: WireError, at now: Moment, _ actions: inout [Action]) {
        if case .closing = state { return }
        guard allowance.spend(Allowance.faulty, at: now) else { return closeForFlood(&actions) }
        actions.append(.say(.error(id: nil, code: error.code.description, message: error.message)))
        let isHopeless = [.badJSON, .tooDeep, .tooLarge].contains(error.code)
        if case .awaitingConnect = state { return close(.badFrame, &actions) }
        if isHopeless { close(.badFrame, &actions) }
    }

    /// `connect` did not come in time.
    mutating func deadlinePassed(_ actions: inout [Action]) {
        if case .awaitingConnect = state { close(.connectTimeout, &actions) }
    }

    // MARK: What the keeper says

    /// The key is this session's.
    mutating func bound(_ actions: inout [Action]) {
        guard case .binding(var binding) = state else { return }
        binding.isBound = true
        settle(binding, &actions)
    }

    /// The first page of the user's inbox is there.
    mutating func inboxRead(_ start: InboxStart, _ actions: inout [Action]) {
        guard case .binding(var binding) = state else { return }
        binding.inbox = .read(start)
        settle(binding, &actions)
    }

    /// Pushes to the room reach this node.
    mutating func joined(_ room: RoomID, _ actions: inout [Action]) {
        if case .binding(var binding) = state {
            binding.rooms.removeAll { $0 == room }
            settle(binding, &actions)
        } else {
            for join in takeJoins(of: room) { actions.append(.say(.ok(id: join.id))) }
        }
    }

    /// The keeper could not tell Redis of the room in time.
    mutating func joinRefused(_ room: RoomID, _ actions: inout [Action]) {
        switch state {
        case .binding: close(.routeUnavailable, &actions)
        case .live:
            let refused = takeJoins(of: room)
            if !refused.isEmpty { actions.append(.exit(room)) }
            for join in refused {
                let message = "the route table cannot be reached; try again"
                actions.append(.say(.error(id: join.id, code: "unavailable", message: message)))
            }
        case .awaitingConnect, .closing: break
        }
    }

    /// The session shall end: replaced, kicked, without a route, or with the node.
    mutating func closeOrdered(_ code: CloseCode, _ actions: inout [Action]) {
        if case .closing = state { return }
        close(code, &actions)
    }

    // MARK: Answers

    private mutating func heardBeforeConnect(
        _ frame: ClientFrame,
        _ setting: Setting,
        _ actions: inout [Action]
    ) {
        switch frame.body {
        case .connect(let request): connectGiven(request, setting, &actions)
        case .ping: actions.append(.say(.pong(id: frame.id)))
        case .join, .leave, .ack:
            let message = "the first frame must be connect"
            actions.append(.say(.error(id: frame.id, code: "not_connected", message: message)))
        }
    }

    private mutating func heardLive(
        _ frame: ClientFrame,
        _ room: RoomView?,
        _ setting: Setting,
        _ actions: inout [Action]
    ) {
        switch frame.body {
        case .connect:
            let message = "this connection is connected already"
            actions.append(.say(.error(id: frame.id, code: "already_connected", message: message)))
        case .ping: actions.append(.say(.pong(id: frame.id)))
        case .ack(let push):
            actions.append(.acknowledge(push))
            if let id = frame.id { actions.append(.say(.ok(id: id))) }
        case .join(let name):
            guard let room else { return }
            let isUnderWay = joins.contains { $0.room == name }
            if room.isMember, !isUnderWay {
                actions.append(.say(.ok(id: frame.id)))
            } else if !room.isMember, room.count >= setting.limits.roomsPerConnectionMax {
                actions.append(.say(Self.tooManyRooms(frame.id, setting)))
            } else {
                if !room.isMember { actions.append(.enter(name)) }
                joins.append(Join(room: name, id: frame.id))
            }
        case .leave(let name):
            // A join under way was one before it is undone.
            for join in takeJoins(of: name) { actions.append(.say(.ok(id: join.id))) }
            if room?.isMember == true { actions.append(.exit(name)) }
            actions.append(.say(.ok(id: frame.id)))
        }
    }

    private mutating func settle(_ binding: Binding, _ actions: inout [Action]) {
        var binding = binding
        if binding.isBound, binding.rooms.isEmpty, case .wanted(let resume) = binding.inbox {
            binding.inbox = .reading
            actions.append(.openInbox(resume))
        }
        guard binding.isBound, binding.rooms.isEmpty, binding.inbox.isSettled else {
            state = .binding(binding)
            return
        }
        state = .live
        actions.append(.goLive(binding.name, binding.inbox.start))
        if !binding.frames.isEmpty { actions.append(.hear(binding.frames)) }
    }

    private mutating func close(_ code: CloseCode, _ actions: inout [Action]) {
        state = .closing
        joins = []
        actions.append(.close(code))
    }

    private mutating func closeForFlood(_ actions: inout [Action]) {
        let message = "too many frames in too short a time"
        actions.append(.say(.error(id: nil, code: "flood", message: message)))
        close(.flood, &actions)
    }

    private mutating func takeJoins(of room: RoomID) -> [Join] {
        let taken = joins.filter { $0.room == room }
        if !taken.isEmpty { joins.removeAll { $0.room == room } }
        return taken
    }

    private static func tooManyRooms(_ id: UInt64?, _ setting: Setting) -> ServerFrame {
        .error(
            id: id,
            code: "too_many",
            message: "a connection may be in \(setting.limits.roomsPerConnectionMax) rooms"
        )
    }

    private static func cost(of frame: ClientFrame) -> Int32 {
        switch frame.body {
        case .connect, .join, .leave: Allowance.costly
        case .ping, .ack: Allowance.cheap
        }
    }
}
