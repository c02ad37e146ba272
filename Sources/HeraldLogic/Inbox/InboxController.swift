import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird

/// The inboxes of users and rooms: what they keep, and forgetting it.
struct InboxController: Sendable {
    let inbox: any Inbox
    let limits: Limits

    private static let pageStandard = 100

    var endpoints: [Endpoint] {
        [
            Endpoint(.get, "/v1/users/{user}/inbox") { (request, parameters) async throws(Problem) in
                try await browse(.user(parameters.id(0, UserID.init)), request)
            },
            Endpoint(.delete, "/v1/users/{user}/inbox") { (_, parameters) async throws(Problem) in
                try await delete(.user(parameters.id(0, UserID.init)))
            },
            Endpoint(.get, "/v1/rooms/{room}/inbox") { (request, parameters) async throws(Problem) in
                try await browse(.room(parameters.id(0, RoomID.init)), request)
            },
            Endpoint(.delete, "/v1/rooms/{room}/inbox") { (_, parameters) async throws(Problem) in
                try await delete(.room(parameters.id(0, RoomID.init)))
            },
        ]
    }

    private func browse(_ owner: InboxOwner, _ request: Request) async throws(Problem) -> Response {
        let query = try QueryParameters(request.uri.query, known: ["after", "limit"])
        let limit = try query.number("limit", in: 1...limits.inboxPageMax, otherwise: Self.pageStandard)
        var place: InboxPosition?
        if let text = query.text("after") {
            place = InboxPosition(text)
            guard place != nil else {
                throw .badParameter("after", "must be a place, EPOCH.OFFSET, such as 1712345678901.42")
            }
        }
        let page: InboxPage
        do { page = try await inbox.browse(owner, after: place, limit: limit) } catch { throw Problem(error) }
        return .json(bytes: InboxJSON.encode(page))
    }

    private func delete(_ owner: InboxOwner) async throws(Problem) -> Response {
        do { try await inbox.delete(owner) } catch { throw Problem(error) }
        return Response(status: .noContent)
    }
}

extension Problem {
    /// Why an inbox could not be read or deleted. Nothing was to be sent, so it says nothing of that.
    init(_ error: InboxError) {
        let refusal = error.refusal
        let detail =
            switch error {
            case .unavailable: "Redis is out of reach; trying again does no harm"
            case .full: "Redis has no memory left"
            case .corrupt: "the inbox holds what is not Herald's, or Redis refuses to say what"
            }
        self.init(PushRefusal(code: refusal.code, detail: detail, retryAfter: refusal.retryAfter))
    }
}
