public import HeraldCore
import HeraldWire

/// Where to connect, and as whom.
public struct ConnectionConfiguration: Sendable {
    /// How the node is told who connects.
    public enum Introduction: Sendable {
        /// In the address of the upgrade: `connected` is the node's first word.
        case address
        /// In a `connect` frame after the upgrade: nothing of it stands in a proxy's log.
        case firstFrame
    }

    /// Such as `ws://127.0.0.1:9001/ws`.
    public var address: ServerAddress
    /// Chosen by the node when absent.
    public var user: UserID?
    /// Chosen by the node when absent.
    public var key: ConnectionKey?
    /// To be in from the start.
    public var rooms: [RoomID]
    /// Given to follow the user's inbox: stored pushes come in order and without gaps, also those of the time before.
    public var resume: ResumeRequest?
    public var introduction: Introduction
    public var limits: ClientLimits

    public init(
        address: ServerAddress,
        user: UserID? = nil,
        key: ConnectionKey? = nil,
        rooms: [RoomID] = [],
        resume: ResumeRequest? = nil,
        introduction: Introduction = .address,
        limits: ClientLimits = .standard
    ) {
        self.address = address
        self.user = user
        self.key = key
        self.rooms = rooms
        self.resume = resume
        self.introduction = introduction
        self.limits = limits
    }

    /// As the other initialiser, from texts.
    ///
    /// - Throws: `ClientError` for the address, `InvalidIdentifier` for an id.
    public init(
        url: String,
        user: String? = nil,
        key: String? = nil,
        rooms: [String] = [],
        resume: ResumeRequest? = nil,
        introduction: Introduction = .address,
        limits: ClientLimits = .standard
    ) throws {
        self.init(
            address: try ServerAddress(url, scheme: .ws),
            user: try user.map { try UserID($0) },
            key: try key.map { try ConnectionKey($0) },
            rooms: try rooms.map { try RoomID($0) },
            resume: resume,
            introduction: introduction,
            limits: limits
        )
    }

    /// What the upgrade asks for: path and query.
    var requestTarget: String {
        guard case .address = introduction else { return address.path }
        var fields: [(name: String, value: String)] = []
        if let user { fields.append(("user", user.description)) }
        if let key { fields.append(("key", key.description)) }
        for room in rooms { fields.append(("room", room.description)) }
        // The node takes the query only with a user in it.
        if let resume, user != nil { fields.append(("resume", resume.position?.description ?? "new")) }
        return fields.isEmpty ? address.path : "\(address.path)?\(Query.text(fields))"
    }

    /// What is said first after the upgrade; nil when the address said it.
    ///
    /// An address without user and key says nothing, and the node then waits for the frame.
    var firstFrame: ClientFrame? {
        switch introduction {
        case .address where user != nil || key != nil || !rooms.isEmpty: nil
        case .address, .firstFrame:
            ClientFrame(.connect(ConnectRequest(user: user, key: key, rooms: rooms, resume: resume)))
        }
    }
}
