import HeraldCore
import HeraldSockets
import HeraldWire

/// What the node answers to requests on its port: who may upgrade, and the plain pages beside.
enum NodeHTTP {
    /// What became of an upgrade request, for the counters.
    enum Verdict {
        case decided(RequestDecision)
        case refusedOrigin(RequestDecision)
        case refusedQuery(RequestDecision)
    }

    static func decide(_ request: borrowing HTTPRequestHead, _ context: NodeContext) -> Verdict {
        guard request.path != "/ws" else { return decideUpgrade(request, context) }
        guard ["/healthz", "/readyz", "/metrics"].contains(request.path) else {
            return .decided(.respond(.text(404, "there is nothing here: clients connect to /ws")))
        }
        guard ["GET", "HEAD"].contains(request.method) else {
            return .decided(
                .respond(.text(405, "only GET is answered", fields: [.init("Allow", "GET, HEAD")]))
            )
        }
        return .decided(.respond(page(request.path, context)))
    }

    /// Reads who the client says it is. Nil: it will say so in its first frame.
    static func connectRequest(
        _ request: borrowing HTTPRequestHead,
        _ limits: Limits
    ) throws(ConnectQuery.Refusal) -> ConnectRequest? {
        let items: [HTTPRequestHead.QueryItem]
        do { items = try request.query() } catch {
            throw ConnectQuery.Refusal(message: "the query is not well encoded")
        }
        return try ConnectQuery.read(items, limits: limits)
    }

    private static func decideUpgrade(
        _ request: borrowing HTTPRequestHead,
        _ context: NodeContext
    ) -> Verdict {
        // Not an upgrade: accepting it makes the engine answer 426.
        guard request.isUpgrade else { return .decided(.accept(subprotocol: nil)) }
        guard context.origins.allows(request.values("origin")) else {
            return .refusedOrigin(.respond(.text(403, "pages of this origin may not connect")))
        }
        guard !context.status.current.isDraining else {
            return .decided(
                .respond(.text(503, "the node is stopping", fields: [.init("Retry-After", "1")]))
            )
        }
        do {
            _ = try connectRequest(request, context.limits)
        } catch {
            return .refusedQuery(.respond(.text(400, error.message)))
        }
        return .decided(.accept(subprotocol: nil))
    }

    private static func page(_ path: String, _ context: NodeContext) -> HTTPAnswer {
        switch path {
        case "/healthz": return .text(200, "ok")
        case "/readyz":
            let reasons = context.reasonsNotReady
            return reasons.isEmpty
                ? .text(200, "ready")
                : .text(503, reasons.joined(separator: "\n"), fields: [.init("Retry-After", "1")])
        default:
            let type = HTTPAnswer.Field("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            return HTTPAnswer(status: 200, fields: [type], body: Array(context.metrics.text.utf8))
        }
    }
}
